import { type ReactNode, useEffect, useEffectEvent, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatClock, formatTime } from "../lib/time";
import styles from "./chart.module.css";

/** A line of a chart. */
export interface Series {
  label: string;
  /** A value for each time; null where there is none. Numbers, because they are only drawn: see `format`. */
  values: readonly (number | null)[];
  /** A variable of tokens.css, such as "--chart-1". */
  color: string;
  /** area: a line with its ground filled; step: holds its value until the next; bars: one for each time. Default: line. */
  shape?: "line" | "area" | "step" | "bars";
  dashed?: boolean;
  /** The value at an index in words, exactly. Default: the number, grouped. */
  format?: (index: number) => string;
}

/**
 * A chart over time. Above it stands what each line is and its last value, or the one under the pointer. It is a picture:
 * what it shows is said in words by `summary`, to those who do not see it.
 */
export function Chart({
  label,
  summary,
  times,
  series,
  height = 180,
  zero = true,
  integers = false,
  clock = false,
  note,
  empty,
}: {
  /** What the chart is of. */
  label: string;
  /** What the chart shows, in a sentence or two. */
  summary: string;
  /** Seconds since 1970, ascending. */
  times: readonly number[];
  series: readonly Series[];
  /** In px. */
  height?: number;
  /** Begin at zero. */
  zero?: boolean;
  /** The values are counts: the scale has no fractions. */
  integers?: boolean;
  /** Say the time of day alone. */
  clock?: boolean;
  /** What stands at the right while the pointer is elsewhere, such as a sum. */
  note?: ReactNode;
  /** What is shown instead when there are no times. */
  empty?: ReactNode;
}) {
  const [frame, setFrame] = useState<HTMLDivElement | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const plot = useRef<uPlot>(undefined);
  const theme = useThemeName();
  const shapes = JSON.stringify(
    series.map(({ label, color, shape, dashed }) => [label, color, shape, dashed]),
  );

  const data = (): uPlot.AlignedData => [[...times], ...series.map((line) => [...line.values])];
  const make = useEffectEvent((into: HTMLDivElement) => {
    const color = (name: string) => resolveColor(into, name);
    const axis = {
      stroke: color("--text-3"),
      font: `11px ${getComputedStyle(into).fontFamily}`,
      ticks: { show: false },
      grid: { stroke: color("--chart-grid"), width: 1 },
    };
    return new uPlot(
      {
        width: into.clientWidth,
        height,
        legend: { show: false },
        padding: [8, 24, 0, 0],
        cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
        scales: { y: { range: (_, min, max) => range(min, max, zero, integers) } },
        axes: [
          {
            ...axis,
            grid: { show: false },
            space: 76,
            size: 26,
            gap: 4,
            values: (_, splits, __, ___, apart) => splits.map((at) => instant(at, apart)),
          },
          {
            ...axis,
            gap: 6,
            space: 32,
            size: (_, values) => 14 + 6.4 * Math.max(2, ...(values ?? []).map((value) => value.length)),
            values: (_, splits) => labelsOf(splits),
            incrs: integers
              ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6]
              : undefined,
          } as uPlot.Axis,
        ],
        series: [
          {},
          ...series.map((line): uPlot.Series => {
            const stroke = color(line.color);
            const drawn: uPlot.Series = { label: line.label, stroke, width: 1.5, points: { show: false } };
            if (line.dashed) drawn.dash = [4, 3];
            if (line.shape === "area") drawn.fill = translucent(stroke, 0.12);
            if (line.shape === "bars") {
              drawn.fill = stroke;
              drawn.width = 0;
              const bars = uPlot.paths.bars?.({ size: [0.75, 26] });
              if (bars) drawn.paths = bars;
            }
            if (line.shape === "step") {
              drawn.fill = translucent(stroke, 0.1);
              const stepped = uPlot.paths.stepped?.({ align: 1 });
              if (stepped) drawn.paths = stepped;
            }
            return drawn;
          }),
        ],
        hooks: { setCursor: [(u) => setPointed(u.cursor.idx ?? null)] },
      },
      data(),
      into,
    );
  });

  // biome-ignore lint/correctness/useExhaustiveDependencies: colours and shapes are read when the chart is made
  useEffect(() => {
    if (!frame) return;
    const made = make(frame);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: frame.clientWidth, height }));
    observer.observe(frame);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [frame, theme, shapes, height, zero, integers]);

  useEffect(() => {
    plot.current?.setData(data());
  });

  if (times.length === 0 && empty) return <div className={styles.empty}>{empty}</div>;
  const index = pointed !== null && pointed < times.length ? pointed : times.length - 1;
  const at = times[index];
  return (
    <figure className={styles.figure} aria-label={label}>
      <div className={styles.legend} aria-hidden="true">
        {series.map((line) => (
          <span key={line.label} className={styles.entry}>
            <span
              className={styles.key}
              data-dashed={line.dashed || undefined}
              style={{ color: `var(${line.color})` }}
            />
            {line.label}
            <span className={styles.value}>{valueAt(line, index)}</span>
          </span>
        ))}
        {at !== undefined && (
          <span className={styles.when}>
            {pointed === null
              ? note
              : clock
                ? formatClock(new Date(at * 1000))
                : formatTime(new Date(at * 1000))}
          </span>
        )}
      </div>
      <div ref={setFrame} className={styles.plot} style={{ height }} aria-hidden="true" />
      <p className="sr-only">{summary}</p>
    </figure>
  );
}

function valueAt(line: Series, index: number): string {
  const value = line.values[index];
  if (value === null || value === undefined) return "–";
  return line.format?.(index) ?? value.toLocaleString("en-US", { maximumFractionDigits: 2 });
}

/** The scale: from zero, or around the values, with some room above. */
function range(low: number | null, high: number | null, zero: boolean, integers: boolean): [number, number] {
  const least = Math.min(low ?? 0, zero ? 0 : Number.POSITIVE_INFINITY);
  const most = Math.max(high ?? 0, zero ? 0 : Number.NEGATIVE_INFINITY);
  const room = (most - least) * 0.08;
  if (room === 0) return [zero ? Math.min(0, least) : least - 1, most + (integers ? 4 : 1)];
  return [least < 0 || !zero ? least - room : 0, integers ? Math.max(4, most + room) : most + room];
}

const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 });

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 18 });

/** What stands at the scale: short, where that still tells one value from the next. */
function labelsOf(values: readonly number[]): string[] {
  const short = values.map((value) => compact.format(value));
  return new Set(short).size === short.length ? short : values.map((value) => whole.format(value));
}

const hours = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const days = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const months = new Intl.DateTimeFormat("en-GB", { month: "short", year: "numeric" });

/** An instant of the axis, as exact as the labels are apart, in seconds. A day begins with its date. */
function instant(at: number, apart: number): string {
  const date = new Date(at * 1000);
  if (apart < 60) return formatClock(date);
  const midnight = date.getHours() === 0 && date.getMinutes() === 0;
  if (apart < 86_400) return (midnight ? days : hours).format(date);
  return (apart < 28 * 86_400 ? days : months).format(date);
}

/** The colour of a variable as the canvas takes it, for the theme of now. */
function resolveColor(element: HTMLElement, name: string): string {
  const before = element.style.color;
  element.style.color = `var(${name})`;
  const color = getComputedStyle(element).color;
  element.style.color = before;
  return color;
}

function translucent(color: string, alpha: number): string {
  return color.replace(/^rgb\(([^)]+)\)$/, `rgba($1, ${alpha})`);
}

/** A word that changes with the theme, so that what is drawn is drawn anew. */
function useThemeName(): string {
  const [name, setName] = useState(themeName);
  useEffect(() => {
    const update = () => setName(themeName());
    const query = matchMedia("(prefers-color-scheme: dark)");
    query.addEventListener("change", update);
    const observer = new MutationObserver(update);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      query.removeEventListener("change", update);
      observer.disconnect();
    };
  }, []);
  return name;
}

function themeName(): string {
  return `${document.documentElement.dataset.theme ?? ""} ${matchMedia("(prefers-color-scheme: dark)").matches}`;
}
