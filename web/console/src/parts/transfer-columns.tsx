import { type Transfer, Transfer_Kind } from "internaltransfers-client";
import { Link } from "wouter";
import { Amount, type Column, IdText, kindName, Nothing, Time, TransferStatusBadge } from "../ui";
import { AccountName } from "./account-name";
import styles from "./transfer-columns.module.css";

/** Where a transfer is in its life, and what it is for where that is no plain transfer. */
export function TransferState({ transfer: t }: { transfer: Transfer }) {
  return (
    <span className={styles.state}>
      <TransferStatusBadge status={t.status} {...(t.errorReason ? { reason: t.errorReason } : {})} />
      {t.kind !== Transfer_Kind.TRANSFER && <span className="muted">{kindName(t.kind)}</span>}
    </span>
  );
}

/** The columns of a table whose rows are, or have, transfers. */
export function transferColumns<Row>(of: (row: Row) => Transfer): Column<Row>[] {
  return [
    {
      id: "transfer",
      header: "Transfer",
      primary: true,
      fit: true,
      cell: (row) => {
        const t = of(row);
        return (
          <IdText id={t.transferId} href={`/transfers/${t.transferId}`} label="transfer id" copy={false} />
        );
      },
    },
    { id: "time", header: "Time", fit: true, cell: (row) => <Time value={of(row).createTime} /> },
    { id: "from", header: "From", cell: (row) => <AccountName id={of(row).fromAccountId} /> },
    { id: "to", header: "To", cell: (row) => <AccountName id={of(row).toAccountId} /> },
    { id: "status", header: "Status", cell: (row) => <TransferState transfer={of(row)} /> },
    {
      id: "reference",
      header: "Reference",
      hide: "narrow",
      cell: (row) => <Reference transfer={of(row)} />,
    },
    {
      id: "amount",
      header: "Amount",
      align: "end",
      fit: true,
      cell: (row) => {
        const t = of(row);
        return <Amount value={t.amount} currency={t.currency} strong />;
      },
    },
  ];
}

/** The caller's reference, which leads to all transfers that have it. */
function Reference({ transfer: t }: { transfer: Transfer }) {
  if (!t.reference) return <Nothing />;
  return (
    <Link
      href={`/transfers?reference=${encodeURIComponent(t.reference)}`}
      className={styles.reference}
      title={t.reference}
    >
      {t.reference}
    </Link>
  );
}
