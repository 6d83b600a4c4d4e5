import { useEffect, useRef, useState } from "react";
import { serverPath } from "../../lib/base";
import type { Why } from "../../lib/session";
import { signIn } from "../../lib/sign-in";
import { ThemeToggle } from "../../theme";
import { Button, ConnectionStatus, CopyButton, Form, Notice, SecretField } from "../../ui";
import styles from "./sign-in.module.css";

const command = "internaltransfers keys create --role viewer";

/** Why somebody is here who had been inside. */
const notices: Partial<Record<Why, [string, string]>> = {
  ended: ["Your session has ended", "Sign in again to go on where you were."],
  network: ["Not from this network", "Your key must not be used from where you are. Another key may."],
};

/** Asks for an API key. It takes the place of whatever page is in the address, which is shown then. */
export function SignIn({ why }: { why: Why }) {
  const field = useRef<HTMLInputElement>(null);
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    document.title = "Sign in · Internal transfers";
    field.current?.focus();
  }, []);

  const submit = async () => {
    const input = field.current;
    if (!input || busy) return;
    const key = input.value.trim();
    if (key === "") {
      setError("Enter an API key.");
      input.focus();
      return;
    }
    setBusy(true);
    setError(undefined);
    const problem = await signIn(key);
    // The page has gone away if there is none.
    if (!problem) return;
    if (!problem.temporary) input.value = "";
    setBusy(false);
    setError(problem.text);
    input.focus();
  };

  const notice = notices[why];
  return (
    <div className={styles.frame}>
      <main className={styles.main}>
        <div className={styles.brand}>
          <img src={serverPath("/favicon.svg")} alt="" width="32" height="32" />
          Internal transfers
        </div>
        <div className={styles.card}>
          <div>
            <h1 className={styles.title}>Sign in</h1>
            <p className={styles.lead}>With an API key of this ledger.</p>
          </div>
          {notice && (
            <div role="status">
              <Notice tone="info" title={notice[0]}>
                {notice[1]}
              </Notice>
            </div>
          )}
          <Form onSubmit={() => void submit()}>
            <SecretField
              ref={field}
              label="API key"
              name="key"
              placeholder="itk_…"
              autoComplete="current-password"
              maxLength={200}
              error={error}
              onInput={() => setError(undefined)}
            />
            <Button type="submit" kind="primary" busy={busy}>
              Sign in
            </Button>
          </Form>
        </div>
        <div className={styles.hint}>
          <p>No key yet? Whoever runs the server can make one:</p>
          <div className={styles.command}>
            <code>{command}</code>
            <CopyButton text={command} label="Copy command" />
          </div>
        </div>
      </main>
      <div className={styles.foot}>
        <ConnectionStatus />
        <ThemeToggle />
      </div>
    </div>
  );
}
