import { useInfiniteQuery } from "@connectrpc/connect-query";
import { keepPreviousData } from "@tanstack/react-query";
import { type Account, AccountService, type Entry, ListEntriesRequest_Order } from "internaltransfers-client";
import { Link } from "wouter";
import { serverPath } from "../../lib/base";
import { exactTime, fromDate } from "../../lib/time";
import { AccountName } from "../../parts/account-name";
import { Amount, Card, type Column, DownloadLink, Table, Time, tableState } from "../../ui";
import styles from "./account.module.css";
import { boundsOf, type Period } from "./period";
import { Summary } from "./summary";

/** The columns. Where amounts are long, the time stands below whom it was with. */
function columnsFor(long: boolean): Column<Entry>[] {
  const all: (Column<Entry> | false)[] = [
    {
      id: "with",
      header: "With",
      primary: true,
      cell: (entry) => (
        <span className={styles.entry}>
          <span>
            {entry.amount.startsWith("-") ? "To " : "From "}
            <AccountName id={entry.counterpartyAccountId} />
          </span>
          <Link href={`/transfers/${entry.transferId}`} className={styles.note}>
            {entry.reference || `Transfer ${entry.transferId.slice(0, 8)}…${entry.transferId.slice(-4)}`}
          </Link>
          {long && (
            <span className={styles.note}>
              <Time value={entry.createTime} />
            </span>
          )}
        </span>
      ),
    },
    !long && { id: "time", header: "Time", fit: true, cell: (entry) => <Time value={entry.createTime} /> },
    { id: "amount", header: "Amount", align: "end", cell: (entry) => <Amount value={entry.amount} signed /> },
    {
      id: "balance",
      header: "Balance",
      align: "end",
      cell: (entry) => <Amount value={entry.balance} strong />,
    },
  ];
  return all.filter((column) => column !== false);
}

/** What happened to an account within a period, newest first, with the balance after each movement. */
export function Statement({ account, period }: { account: Account; period: Period }) {
  const bounds = boundsOf(period, account);
  const query = useInfiniteQuery(
    AccountService.method.listEntries,
    {
      accountId: account.accountId,
      order: ListEntriesRequest_Order.NEWEST_FIRST,
      pageSize: 25,
      pageToken: "",
      ...bounds,
    },
    {
      pageParamKey: "pageToken",
      getNextPageParam: (page) => page.nextPageToken || undefined,
      placeholderData: keepPreviousData,
    },
  );
  return (
    <Card title="Statement" actions={<Download account={account} period={period} />} flush>
      <Summary account={account} period={period} />
      <Table
        label="Statement"
        columns={columnsFor(account.balance.length > 18)}
        rows={query.data?.pages.flatMap((page) => page.entries)}
        rowKey={(entry) => String(entry.sequence)}
        empty="No money moved in this period."
        {...tableState(query)}
      />
    </Card>
  );
}

function Download({ account, period }: { account: Account; period: Period }) {
  const query = new URLSearchParams({
    start_time: exactTime(period.start ?? account.createTime ?? fromDate(new Date(0))),
    ...(period.end && { end_time: exactTime(period.end) }),
  });
  return (
    <DownloadLink small href={serverPath(`/api/v1/accounts/${account.accountId}/statement.csv?${query}`)}>
      CSV
    </DownloadLink>
  );
}
