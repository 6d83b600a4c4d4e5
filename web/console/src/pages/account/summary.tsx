import { createConnectQueryKey, useQuery } from "@connectrpc/connect-query";
import { keepPreviousData } from "@tanstack/react-query";
import { type Account, AccountService, type GetStatementResponse } from "internaltransfers-client";
import { negate } from "../../lib/money";
import { queryClient, transport } from "../../lib/rpc";
import { plural } from "../../lib/time";
import { Amount, Figure, Figures, Skeleton, Time } from "../../ui";
import styles from "./account.module.css";
import { figureWidth } from "./figures";
import { boundsOf, type Period } from "./period";

/** Sums over more movements than this take the ledger a while: they are read anew now and then, not with each movement. */
const manyMovements = 20_000n;
const manyMs = 30_000;

function isLong(data: GetStatementResponse | undefined): boolean {
  return (data?.statement?.entryCount ?? 0n) > manyMovements;
}

/** Reads the summary anew where that is quick. */
export function readSummaryAnew(): void {
  void queryClient.invalidateQueries({
    queryKey: createConnectQueryKey({
      schema: AccountService.method.getStatement,
      transport,
      cardinality: "finite",
    }),
    predicate: ({ state }) => !isLong(state.data as GetStatementResponse | undefined),
  });
}

/** What the account had at the beginning, what entered and left, and what it has at the end. */
export function Summary({ account, period }: { account: Account; period: Period }) {
  const query = useQuery(
    AccountService.method.getStatement,
    { accountId: account.accountId, pageSize: 1, ...boundsOf(period, account) },
    {
      placeholderData: keepPreviousData,
      refetchInterval: ({ state }) => (isLong(state.data) ? manyMs : false),
    },
  );
  const statement = query.data?.statement;
  if (!statement) {
    // The table below tells of an error.
    return query.error ? null : (
      <div className={styles.summary}>
        <Skeleton lines={2} />
      </div>
    );
  }
  return (
    <div
      className={`${styles.summary} ${styles.figures}`}
      style={figureWidth([statement.totalCredits, `-${statement.totalDebits}`])}
    >
      <Figures>
        <Figure label="Opening balance" note={<Time value={statement.startTime} />}>
          <Amount value={statement.openingBalance} />
        </Figure>
        <Figure label="In">
          <Amount value={statement.totalCredits} signed />
        </Figure>
        <Figure label="Out">
          <Amount value={negate(statement.totalDebits)} />
        </Figure>
        <Figure label="Closing balance" note={plural(statement.entryCount, "movement")}>
          <Amount value={statement.closingBalance} />
        </Figure>
      </Figures>
    </div>
  );
}
