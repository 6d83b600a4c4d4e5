import { useState } from "react";
import { Button, CopyButton, Dialog, FormActions, Notice } from "../../ui";
import styles from "./webhooks.module.css";

/** A secret, the one time that it can be seen. Who closes it by the way is asked whether it was kept. */
export function SecretDialog({ secret, onClose }: { secret: string; onClose: () => void }) {
  const [leaving, setLeaving] = useState(false);
  const leave = () => (leaving || !secret ? onClose() : setLeaving(true));
  return (
    <Dialog
      open
      onClose={leave}
      title="Keep the secret"
      lead="The receiver proves with it that messages come from this ledger."
    >
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
                <p>Copy it to where the receiver reads it. If it gets lost, rotate the secret.</p>
              </Notice>
            </div>
          </>
        ) : (
          <Notice tone="warn" title="The secret was given to an earlier attempt">
            <p>
              The endpoint was made by a call whose answer did not arrive here. Rotate its secret to get one.
            </p>
          </Notice>
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
