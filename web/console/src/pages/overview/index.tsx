import { Code, ConnectError } from "@connectrpc/connect";
import { useQuery } from "@connectrpc/connect-query";
import { keepPreviousData } from "@tanstack/react-query";
import { LedgerService } from "internaltransfers-client";
import { useMemo } from "react";
import { reasonName, reasonTitle } from "../../lib/errors";
import { groupThousands } from "../../lib/money";
import { formatSeconds, plural } from "../../lib/time";
import { useUrlState } from "../../lib/url";
import {
  Amount,
  Card,
  Chart,
  Columns,
  Count,
  ErrorNotice,
  Figure,
  Figures,
  PageHeader,
  Segments,
  Skeleton,
} from "../../ui";
import {
  type Activity,
  busiest,
  formatRate,
  formatShare,
  type Range,
  ranges,
  rateSeconds,
  readActivity,
  type Volume,
  volumeLine,
} from "./activity";
import { Latest } from "./latest";
import styles from "./overview.module.css";
import { Proof } from "./proof";
import { Totals } from "./totals";

const rangeOptions = (["1m", "10m", "1h"] as const).map((value) => ({ value, label: ranges[value].label }));

/** How the ledger is: what happens now, how much there is, and whether it was proved. */
export function Overview() {
  const [state, setState] = useUrlState({ range: "1m", currency: "" });
  const range: Range = state.range in ranges ? (state.range as Range) : "1m";
  const { activity, error, refetch } = useActivity(range);
  return (
    <>
      <PageHeader
        title="Overview"
        actions={
          <Segments
            label="Range of time"
            value={range}
            options={rangeOptions}
            onChange={(to) => setState({ range: to })}
          />
        }
      />
      <div className={styles.page}>
        {error ? (
          <ErrorNotice error={error} onRetry={refetch} />
        ) : (
          <>
            <Card>
              <Now activity={activity} range={range} />
            </Card>
            <Columns>
              <Card title="Transfers per second">
                {activity ? <Rate activity={activity} range={range} /> : <Skeleton />}
              </Card>
              <Card
                title="Volume"
                actions={
                  activity && (
                    <Currencies
                      activity={activity}
                      value={state.currency}
                      onChange={(currency) => setState({ currency })}
                    />
                  )
                }
              >
                {activity ? (
                  <Volumes activity={activity} range={range} currency={state.currency} />
                ) : (
                  <Skeleton />
                )}
              </Card>
            </Columns>
          </>
        )}
        <div className={styles.columns}>
          <Latest />
          <div className={styles.side}>
            <Proof />
            <Totals />
            {!error && (
              <Card title="Refusals by reason">
                {activity ? <Refusals activity={activity} range={range} /> : <Skeleton />}
              </Card>
            )}
          </div>
        </div>
      </div>
    </>
  );
}

/** The activity, read again and again while the page is looked at. What was read last stays while the server is away. */
function useActivity(range: Range) {
  const { window, step, pollMs } = ranges[range];
  const query = useQuery(
    LedgerService.method.getActivity,
    { window: { seconds: BigInt(window) }, step: { seconds: BigInt(step) } },
    {
      placeholderData: keepPreviousData,
      retry: false,
      refetchInterval: ({ state }) => (isUnimplemented(state.error) ? false : pollMs),
    },
  );
  const activity = useMemo(() => query.data && readActivity(query.data), [query.data]);
  return { activity, error: query.data ? null : query.error, refetch: () => void query.refetch() };
}

function isUnimplemented(error: unknown): boolean {
  return error !== null && ConnectError.from(error).code === Code.Unimplemented;
}

function Now({ activity, range }: { activity: Activity | undefined; range: Range }) {
  const dash = <span className="muted">–</span>;
  const all = activity && activity.total.succeeded + activity.total.pending + activity.total.refused;
  const lately = `in ${ranges[range].label}`;
  return (
    <Figures>
      <Figure
        label="Transfers per second"
        note={`over the last ${formatSeconds(Math.max(rateSeconds, ranges[range].step))}`}
      >
        {activity ? formatRate(activity.rate) : dash}
      </Figure>
      <Figure label="Succeeded" note={lately}>
        {activity ? <Count value={activity.total.succeeded} /> : dash}
      </Figure>
      <Figure label="Held or scheduled" note={lately}>
        {activity ? <Count value={activity.total.pending} /> : dash}
      </Figure>
      <Figure
        label="Refused"
        note={
          activity && all !== undefined
            ? `${formatShare(activity.total.refused, all)} of all ${lately}`
            : lately
        }
      >
        {activity ? <Count value={activity.total.refused} /> : dash}
      </Figure>
    </Figures>
  );
}

function Rate({ activity, range }: { activity: Activity; range: Range }) {
  const { succeeded, pending, refused } = activity.total;
  return (
    <Chart
      label="Transfers per second"
      summary={`In the last ${ranges[range].label}, ${plural(succeeded, "transfer")} succeeded, ${pending} were held or scheduled and ${refused} were refused; now ${formatRate(activity.rate)} a second.`}
      times={activity.times}
      clock
      integers={range === "1m"}
      series={[
        { label: "Succeeded", values: activity.succeeded, color: "--chart-1", shape: "area" },
        { label: "Held or scheduled", values: activity.pending, color: "--chart-5" },
        { label: "Refused", values: activity.refused, color: "--chart-3", dashed: true },
      ]}
    />
  );
}

/** The currency to show: the one that was chosen, or else the one that moves most often. */
function shownVolume(activity: Activity, currency: string): Volume | undefined {
  return activity.volumes.find((volume) => volume.currency === currency) ?? busiest(activity.volumes);
}

/** How many currencies are offered side by side; more do not fit. */
const currenciesMax = 5;

function Currencies({
  activity,
  value,
  onChange,
}: {
  activity: Activity;
  value: string;
  onChange: (currency: string) => void;
}) {
  const shown = shownVolume(activity, value);
  if (!shown || activity.volumes.length < 2) return null;
  const options = activity.volumes
    .slice(0, currenciesMax)
    .map(({ currency }) => ({ value: currency, label: currency }));
  return <Segments label="Currency" value={shown.currency} options={options} onChange={onChange} />;
}

function Volumes({ activity, range, currency }: { activity: Activity; range: Range; currency: string }) {
  const volume = shownVolume(activity, currency);
  if (!volume) return <p className={styles.none}>No money moved in the last {ranges[range].label}.</p>;
  const line = volumeLine(volume);
  return (
    <Chart
      label={`Volume in ${volume.currency}`}
      summary={`In the last ${ranges[range].label}, ${groupThousands(volume.total)} ${volume.currency} moved.`}
      times={activity.times}
      clock
      note={
        <>
          <Amount value={volume.total} currency={volume.currency} /> in {ranges[range].label}
        </>
      }
      series={[
        { label: `In ${formatSeconds(ranges[range].step)}`, color: "--chart-2", shape: "bars", ...line },
      ]}
    />
  );
}

function Refusals({ activity, range }: { activity: Activity; range: Range }) {
  const most = activity.reasons[0]?.count;
  if (most === undefined)
    return <p className={styles.none}>Nothing was refused in the last {ranges[range].label}.</p>;
  return (
    // biome-ignore lint/a11y/noRedundantRoles: Safari forgets that a list without marks is one
    <ul role="list" className={styles.bars}>
      {activity.reasons.map(({ reason, count }) => (
        <li key={reason} title={reasonName(reason)}>
          <span>{reasonTitle(reason)}</span>
          <Count value={count} />
          <span
            className={styles.bar}
            style={{ inlineSize: `${(Number(count) / Number(most)) * 100}%` }}
            aria-hidden="true"
          />
        </li>
      ))}
    </ul>
  );
}
