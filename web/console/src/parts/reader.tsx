import { useMutation } from "@tanstack/react-query";
import { useCaller } from "../lib/permissions";
import { signOut } from "../lib/sign-in";
import { Button, toast } from "../ui";
import styles from "./reader.module.css";

/** Who is signed in, with what the key is for, and the way out. Nothing where nobody needs a key. */
export function Reader() {
  const caller = useCaller();
  const leave = useMutation({
    mutationFn: signOut,
    onError: () => toast("The server cannot be reached, so you are still signed in.", "bad"),
  });
  if (!caller?.authenticationRequired) return null;
  const role = caller.role || "no role";
  return (
    <div className={styles.reader}>
      <div className={styles.who} title={`${caller.displayName}, ${role}`}>
        <span className="sr-only">Signed in with the key </span>
        <span className={styles.name}>{caller.displayName}</span>
        <span className="sr-only">, role </span>
        <span className={styles.role}>{role}</span>
      </div>
      <span className={styles.way}>
        <Button
          kind="quiet"
          small
          icon="signOut"
          aria-label="Sign out"
          title="Sign out"
          busy={leave.isPending}
          onClick={() => leave.mutate()}
        />
      </span>
    </div>
  );
}
