import { Link } from "wouter";
import { AccountName } from "../../parts/account-name";
import { TailStatus } from "../../parts/tail-status";
import { TransferState } from "../../parts/transfer-columns";
import { Amount, type Column, Icon, Section, Table, Time } from "../../ui";
import { noFilters } from "../transfers/filters";
import type { Row } from "../transfers/list";
import { useTransferList } from "../transfers/use-list";
import styles from "./overview.module.css";

/** How many transfers are shown. */
const rowsShown = 12;

const columns: Column<Row>[] = [
  {
    id: "time",
    header: "Time",
    fit: true,
    hide: "phone",
    cell: ({ transfer }) => <Time value={transfer.createTime} as="clock" />,
  },
  {
    id: "parties",
    header: "From, to",
    primary: true,
    cell: ({ transfer }) => (
      <span className={styles.parties}>
        <AccountName id={transfer.fromAccountId} />
        <Icon name="right" size={12} />
        <span className="sr-only">to</span>
        <AccountName id={transfer.toAccountId} />
      </span>
    ),
  },
  {
    id: "status",
    header: "Status",
    cell: ({ transfer }) => <TransferState transfer={transfer} />,
  },
  {
    id: "amount",
    header: "Amount",
    align: "end",
    fit: true,
    cell: ({ transfer }) => (
      <Link href={`/transfers/${transfer.transferId}`} className={styles.amount}>
        <Amount value={transfer.amount} currency={transfer.currency} strong />
      </Link>
    ),
  },
];

/** The latest transfers, as they happen. */
export function Latest() {
  const { snapshot, state, retry } = useTransferList(noFilters, false);
  return (
    <Section
      title="Latest transfers"
      actions={
        <span className={styles.live}>
          <TailStatus state={state} />
          <Link href="/transfers">All transfers</Link>
        </span>
      }
    >
      <Table<Row>
        label="Latest transfers"
        columns={columns}
        rows={snapshot.rows.slice(0, rowsShown)}
        rowKey={(row) => row.transfer.transferId}
        rowClass={(row) => (row.live ? "new" : undefined)}
        loading={snapshot.phase === "loading"}
        error={snapshot.phase === "failed" ? snapshot.error : undefined}
        onRetry={retry}
        skeletonRows={rowsShown}
        empty="There are no transfers yet. What comes appears here by itself."
      />
    </Section>
  );
}
