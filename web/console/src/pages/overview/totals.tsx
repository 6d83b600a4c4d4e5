import type { CurrencyTotal } from "internaltransfers-client";
import { plural } from "../../lib/time";
import { Amount, Card, type Column, Count, Table, tableState } from "../../ui";
import { useStatus } from "./status";

const columns: Column<CurrencyTotal>[] = [
  { id: "currency", header: "Currency", primary: true, cell: (total) => total.currency },
  { id: "accounts", header: "Accounts", align: "end", cell: (total) => <Count value={total.accountCount} /> },
  {
    id: "amount",
    header: "Held by accounts",
    align: "end",
    cell: (total) => <Amount value={total.amount} strong />,
  },
];

/** How much there is of each currency. */
export function Totals() {
  const status = useStatus();
  return (
    <Card title="Totals" flush={!status.error}>
      <Table
        label={`Totals of ${plural(status.data?.totals.length ?? 0, "currency", "currencies")}`}
        columns={columns}
        rows={status.data?.totals}
        rowKey={(total) => total.currency}
        {...tableState(status)}
        skeletonRows={2}
        empty="There are no accounts yet."
      />
    </Card>
  );
}
