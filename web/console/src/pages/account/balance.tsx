import type { Account } from "internaltransfers-client";
import { useState } from "react";
import { approximate, formatAmount } from "../../lib/money";
import { formatTime, localDay } from "../../lib/time";
import {
  Amount,
  Card,
  Chart,
  type Column,
  ErrorNotice,
  Segments,
  Skeleton,
  Table,
  TextField,
} from "../../ui";
import styles from "./account.module.css";
import { type Period, type PeriodName, type PeriodState, periods } from "./period";
import { type BalancePoint, balanceRange } from "./series";
import { movementsMax, useBalance } from "./use-balance";

/** The balance over time, and the choice of the period that it and the statement are of. */
export function BalanceCard({
  account,
  period,
  onPeriod,
}: {
  account: Account;
  period: Period;
  onPeriod: (state: Partial<PeriodState>) => void;
}) {
  const { points, sampled, error, retry } = useBalance(account, period);
  return (
    <Card title="Balance over time" actions={<PeriodChoice period={period} onPeriod={onPeriod} />}>
      {period.name === "custom" && <Days period={period} onPeriod={onPeriod} />}
      {points ? (
        <BalanceChart points={points} sampled={sampled} currency={account.currency} />
      ) : error ? (
        <ErrorNotice error={error} onRetry={retry} />
      ) : (
        <Skeleton lines={6} />
      )}
    </Card>
  );
}

function PeriodChoice({
  period,
  onPeriod,
}: {
  period: Period;
  onPeriod: (state: Partial<PeriodState>) => void;
}) {
  return (
    <div className={styles.periods}>
      <Segments<PeriodName>
        label="Period"
        value={period.name}
        options={[
          ...periods.map(({ name, label }) => ({ value: name, label })),
          { value: "custom", label: "Days" },
        ]}
        onChange={(name) =>
          onPeriod(
            name === "custom"
              ? { period: "", from: localDay(period.start ?? new Date()), to: localDay(new Date()) }
              : { period: name, from: "", to: "" },
          )
        }
      />
    </div>
  );
}

function Days({ period, onPeriod }: { period: Period; onPeriod: (state: Partial<PeriodState>) => void }) {
  const today = localDay(new Date());
  return (
    <div className={styles.days}>
      <TextField
        type="date"
        label="From"
        max={period.to || today}
        value={period.from}
        onChange={(from) => (from || period.to) && onPeriod({ from })}
      />
      <TextField
        type="date"
        label="To, inclusive"
        min={period.from}
        max={today}
        value={period.to}
        onChange={(to) => (to || period.from) && onPeriod({ to })}
      />
    </div>
  );
}

function BalanceChart({
  points,
  sampled,
  currency,
}: {
  points: BalancePoint[];
  sampled: boolean;
  currency: string;
}) {
  const [asTable, setAsTable] = useState(false);
  const { low, high } = balanceRange(points);
  const first = points[0];
  const last = points.at(-1);
  const amount = (value = "") => formatAmount(value, { currency });
  return (
    <>
      <Chart
        label="Balance over time"
        summary={`From ${amount(first?.balance)} to ${amount(last?.balance)}, between ${amount(low)} and ${amount(high)}.`}
        times={points.map(({ time }) => time / 1000)}
        series={[
          {
            label: "Balance",
            values: points.map(({ balance }) => approximate(balance)),
            color: "--chart-1",
            shape: "step",
            format: (index) => amount(points[index]?.balance),
          },
        ]}
        height={200}
        zero={low === high}
      />
      <details className={styles.asTable} onToggle={(event) => setAsTable(event.currentTarget.open)}>
        <summary>Show as a table</summary>
        {sampled && (
          <p className="muted">
            There are more than {movementsMax.toLocaleString("en-US")} movements: this is the balance at{" "}
            {points.length} moments. The statement has all of them.
          </p>
        )}
        {asTable && (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
          <section className={styles.scroll} aria-label="Balance over time, as a table" tabIndex={0}>
            <Table
              label="Balance over time"
              columns={columns}
              rows={points.toReversed()}
              rowKey={keyOf}
              empty=""
            />
          </section>
        )}
      </details>
    </>
  );
}

const columns: Column<BalancePoint>[] = [
  { id: "time", header: "Since", primary: true, cell: ({ time }) => <MomentOf ms={time} /> },
  { id: "balance", header: "Balance", align: "end", cell: ({ balance }) => <Amount value={balance} /> },
];

function keyOf({ time }: BalancePoint): string {
  return String(time);
}

function MomentOf({ ms }: { ms: number }) {
  const date = new Date(ms);
  return (
    <time dateTime={date.toISOString()} title={date.toISOString()} className="num">
      {formatTime(date)}
    </time>
  );
}
