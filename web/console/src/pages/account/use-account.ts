import { create } from "@bufbuild/protobuf";
import { createConnectQueryKey, useQuery } from "@connectrpc/connect-query";
import {
  type Account,
  AccountService,
  type GetAccountResponse,
  GetAccountResponseSchema,
  TransferService,
} from "internaltransfers-client";
import { useCallback, useEffect, useRef } from "react";
import { queryClient, transport } from "../../lib/rpc";
import { isFollowed, pollMs, useAccountTail, usePolling } from "../../lib/stream";
import { readSummaryAnew } from "./summary";
import { readBalanceAnew } from "./use-balance";

/** How often the account itself is drawn while it changes, in milliseconds. */
const drawMs = 200;
/** How often what is listed about an account is read anew while it changes, in milliseconds. */
const refreshMs = 1_000;
/** How often sums and the balance over time, which take more to read, are read anew then. */
const sumsMs = 3_000;

/** What the page lists about an account, and reads anew when the account changed. */
const lists = [
  createConnectQueryKey({ schema: AccountService.method.listEntries, transport, cardinality: "infinite" }),
  createConnectQueryKey({ schema: TransferService.method.listTransfers, transport, cardinality: undefined }),
];

function readListsAnew(): void {
  for (const queryKey of lists) void queryClient.invalidateQueries({ queryKey });
}

function readSumsAnew(): void {
  readBalanceAnew();
  readSummaryAnew();
}

function accountKey(accountId: string) {
  return createConnectQueryKey({
    schema: AccountService.method.getAccount,
    input: { accountId },
    transport,
    cardinality: "finite",
  });
}

/** Shows an account as it is after a change. */
export function showAccount(account: Account): void {
  queryClient.setQueryData(accountKey(account.accountId), (old: GetAccountResponse | undefined) =>
    newer(old, create(GetAccountResponseSchema, { account })),
  );
}

/** The newer of two answers. Answers of calls and messages of the stream overtake each other. */
function newer(old: GetAccountResponse | undefined, next: GetAccountResponse): GetAccountResponse {
  return old?.account && next.account && old.account.version > next.account.version ? old : next;
}

/**
 * An account as it is now: read, and then followed. While it cannot be followed it is read again and again. What the page
 * lists about the account is read anew when something happened to it, but not more often than people can read.
 */
export function useLiveAccount(accountId: string) {
  const refreshLists = useThrottled(readListsAnew, refreshMs);
  const refreshSums = useThrottled(readSumsAnew, sumsMs);
  const latest = useRef<Account>(undefined);
  const drawLatest = useCallback(() => latest.current && showAccount(latest.current), []);
  const draw = useThrottled(drawLatest, drawMs);
  const stream = useAccountTail(accountId, {
    onMessage({ account, events }, begins) {
      if (account) {
        latest.current = account;
        draw();
      }
      if (!begins && events.length === 0) return;
      refreshLists();
      refreshSums();
    },
  });
  const { phase } = stream.state;
  const query = useQuery(
    AccountService.method.getAccount,
    { accountId },
    {
      refetchInterval: isFollowed(stream.state) ? false : pollMs,
      staleTime: pollMs,
      structuralSharing: (old, next) =>
        newer(old as GetAccountResponse | undefined, next as GetAccountResponse),
    },
  );
  usePolling(stream.state, () => {
    refreshLists();
    refreshSums();
  });
  return { query, account: query.data?.account, phase };
}

/** A function that does something now, and if it was done a moment ago, when that moment is over. */
function useThrottled(act: () => void, milliseconds: number): () => void {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const again = useRef(false);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    if (timer.current !== undefined) {
      again.current = true;
      return;
    }
    const turn = () => {
      act();
      timer.current = setTimeout(() => {
        timer.current = undefined;
        if (!again.current) return;
        again.current = false;
        turn();
      }, milliseconds);
    };
    turn();
  }, [act, milliseconds]);
}
