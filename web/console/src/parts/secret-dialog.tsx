import { type ReactNode, useState } from "react";
import { Button, CopyButton, Dialog, FormActions, Notice } from "../ui";
import styles from "./secret-dialog.module.css";

/** A secret, the one time that it can be seen. Who closes it by the way is asked whether it was kept. */
export function SecretDialog({
  secret,
  lead,
  advice,
  missing,
  onClose,
}: {
  /** Empty: there is none to show. */
  secret: string;
  /** What the secret is for. */
  lead: ReactNode;
  /** Where to put it, and what to do when it gets lost. */
  advice: string;
  /** What is shown where there is none. */
  missing?: ReactNode;
  onClose: () => void;
}) {
  const [leaving, setLeaving] = useState(false);
  const leave = () => (leaving || !secret ? onClose() : setLeaving(true));
  return (
    <Dialog open onClose={leave} title="Keep the secret" lead={lead}>
      <div className="stack">
        {secret ? (
          <>
            <div className={styles.secret}>
              <code>{secret}</code>
              <CopyButton text={secret} label="Copy secret">
                Copy
              </CopyButton>
            </div>
            <div role={leaving ? "alert" : undefined}>
              <Notice
                tone={leaving ? "bad" : "warn"}
                title={leaving ? "Have you kept it?" : "It is shown this once and never again"}
              >
                <p>{advice}</p>
              </Notice>
            </div>
          </>
        ) : (
          missing
        )}
        <FormActions>
          <Button kind="primary" onClick={onClose}>
            {secret ? "I have kept it" : "Close"}
          </Button>
        </FormActions>
      </div>
    </Dialog>
  );
}
