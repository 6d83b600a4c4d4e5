import { Code, ConnectError } from "@connectrpc/connect";
import type { Account } from "internaltransfers-client";
import { Button, ErrorNotice, Notice } from "../../ui";
import { ChangedMeanwhileError } from "./change";
import { showAccount } from "./use-account";

/** Why a change of an account was not made, in words. */
export function ChangeError({
  error,
  onLookAgain,
}: {
  error: unknown;
  /** The reader wants to see the account as it is now, and go on from there. */
  onLookAgain: (now: Account) => void;
}) {
  if (error instanceof ChangedMeanwhileError) {
    return (
      <div role="alert">
        <Notice
          tone="warn"
          title="Changed meanwhile"
          action={
            <Button
              small
              onClick={() => {
                showAccount(error.now);
                onLookAgain(error.now);
              }}
            >
              Look again
            </Button>
          }
        >
          {error.message}
        </Notice>
      </div>
    );
  }
  if (error && ConnectError.from(error).code === Code.Aborted) {
    return (
      <div role="alert">
        <Notice tone="warn" title="Money moves too fast">
          The account has another version with every movement, and there was no moment between two of them.
          Nothing was done; try again.
        </Notice>
      </div>
    );
  }
  return <ErrorNotice error={error} />;
}
