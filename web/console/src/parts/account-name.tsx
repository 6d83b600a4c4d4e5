import { useEffect, useSyncExternalStore } from "react";
import { Link } from "wouter";
import { profileOf, subscribeToProfiles, wantProfile } from "../lib/profiles";
import { Nothing } from "../ui";
import styles from "./account-name.module.css";

/** An account that is known by its id: its name, or else its id, as a link to it. */
export function AccountName({ id, link = true }: { id: string; link?: boolean }) {
  const profile = useSyncExternalStore(subscribeToProfiles, () => profileOf(id));
  useEffect(() => wantProfile(id), [id]);
  if (id === "") return <Nothing />;
  const text = profile?.displayName || `${id.slice(0, 8)}…${id.slice(-4)}`;
  const className = profile?.displayName ? styles.name : styles.id;
  if (!link) {
    return (
      <span className={className} title={id}>
        {text}
      </span>
    );
  }
  return (
    <Link href={`/accounts/${id}`} className={className} title={id}>
      {text}
    </Link>
  );
}
