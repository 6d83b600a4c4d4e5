import { Code, ConnectError } from "@connectrpc/connect";
import { useQuery } from "@connectrpc/connect-query";
import { LedgerService } from "internaltransfers-client";

/** How often the ledger's state is read, in milliseconds. */
const pollMs = 2_000;

/** How the ledger is (GetStatus), kept current while the page is looked at. */
export function useStatus() {
  return useQuery(
    LedgerService.method.getStatus,
    {},
    {
      retry: false,
      refetchInterval: ({ state }) =>
        state.error && ConnectError.from(state.error).code === Code.Unimplemented ? false : pollMs,
    },
  );
}
