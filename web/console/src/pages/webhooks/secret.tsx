import { SecretDialog } from "../../parts/secret-dialog";
import { Notice } from "../../ui";

/** The secret of an endpoint, the one time that it can be seen. */
export function EndpointSecret({ secret, onClose }: { secret: string; onClose: () => void }) {
  return (
    <SecretDialog
      secret={secret}
      lead="The receiver proves with it that messages come from this ledger."
      advice="Copy it to where the receiver reads it. If it gets lost, rotate the secret."
      missing={
        <Notice tone="warn" title="The secret was given to an earlier attempt">
          <p>
            The endpoint was made by a call whose answer did not arrive here. Rotate its secret to get one.
          </p>
        </Notice>
      }
      onClose={onClose}
    />
  );
}
