import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type ReactNode, useEffect, useState } from "react";
import { Link } from "wouter";
import { groupThousands } from "../lib/money";
import { exactTime, formatClock, formatFullTime, formatTime, relativeTime, toDate } from "../lib/time";
import { Icon, type IconName } from "./icons";
import styles from "./values.module.css";

/**
 * An amount of money: the decimal string that the API gave, its thousands grouped, nothing rounded. Figures of a column
 * align because they all have the currency's decimals and equal widths.
 */
export function Amount({
  value,
  currency,
  signed = false,
  muted = false,
  strong = false,
}: {
  /** The decimal string. Undefined shows a dash. */
  value: string | undefined;
  /** The code, shown after the figure. Left out where the context says it. */
  currency?: string;
  /** Put a plus before what is positive, and colour what enters. */
  signed?: boolean;
  muted?: boolean;
  strong?: boolean;
}) {
  if (value === undefined || value === "") return <Nothing />;
  const positive = !value.startsWith("-") && /[1-9]/.test(value);
  const classes = [styles.amount];
  if (signed && positive) classes.push(styles.credit);
  if (muted) classes.push("muted");
  if (strong) classes.push(styles.strong);
  return (
    <span className={classes.join(" ")}>
      {signed && positive && "+"}
      {groupThousands(value)}
      {currency && (
        <>
          {"\u00a0"}
          <span className={styles.currency}>{currency}</span>
        </>
      )}
    </span>
  );
}

/** What is shown where there is nothing. */
export function Nothing({ label = "none" }: { label?: string }) {
  return (
    <span className="muted">
      <span aria-hidden="true">–</span>
      <span className="sr-only">{label}</span>
    </span>
  );
}

/** A number that is no money, grouped. */
export function Count({ value }: { value: number | bigint }) {
  return <span className="num">{value.toLocaleString("en-US")}</span>;
}

/**
 * An instant, in the reader's zone, with the exact instant as a tooltip.
 *
 * "time" is date and time; "relative" how long ago, kept current; "clock" the time of day alone.
 */
export function Time({
  value,
  as = "time",
}: {
  value: Timestamp | undefined;
  as?: "time" | "relative" | "clock";
}) {
  const date = value && toDate(value);
  const now = useNow(as === "relative" && date !== undefined ? date : undefined);
  if (!value || !date) return <Nothing />;
  const text =
    as === "relative" ? relativeTime(date, now) : as === "clock" ? formatClock(date) : formatTime(date);
  return (
    <time
      dateTime={exactTime(value)}
      title={`${formatFullTime(date)}\n${exactTime(value)}`}
      className={styles.time}
    >
      {text}
    </time>
  );
}

/** The time now, again and again: each second while the instant is near, else each half minute. */
function useNow(near: Date | undefined): number {
  const [now, setNow] = useState(Date.now);
  const active = near !== undefined;
  const fast = active && Math.abs(now - near.getTime()) < 90_000;
  useEffect(() => {
    if (!active) return;
    const timer = setInterval(() => setNow(Date.now()), fast ? 1_000 : 30_000);
    return () => clearInterval(timer);
  }, [active, fast]);
  return now;
}

/** An id: its beginning and end, all of it on hover, and a button that copies it. */
export function IdText({
  id,
  href,
  full = false,
  label = "id",
  copy = true,
}: {
  id: string;
  /** Where the id leads. */
  href?: string;
  /** Show all of it. */
  full?: boolean;
  /** What it is the id of, for screen readers: "Copy transfer id". */
  label?: string;
  copy?: boolean;
}) {
  if (id === "") return <Nothing />;
  // The end of a UUID tells neighbours apart: those of version 7 begin with the time.
  const text = full ? id : `${id.slice(0, 8)}…${id.slice(-4)}`;
  return (
    <span className={styles.id}>
      {href ? (
        <Link href={href} title={id} className={styles.idText}>
          {text}
        </Link>
      ) : (
        <span title={id} className={styles.idText}>
          {text}
        </span>
      )}
      {copy && <CopyButton text={id} label={`Copy ${label}`} />}
    </span>
  );
}

/** A button that copies a text, and says so. */
export function CopyButton({
  text,
  label = "Copy",
  children,
}: {
  text: string;
  label?: string;
  children?: ReactNode;
}) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1_500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <button
      type="button"
      className={children ? styles.copyText : styles.copy}
      title={copied ? "Copied" : label}
      aria-label={copied ? "Copied" : label}
      onClick={async () => setCopied(await copyText(text))}
    >
      <Icon name={copied ? "check" : "copy"} size={14} />
      {children && <span>{copied ? "Copied" : children}</span>}
    </button>
  );
}

async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS and away from localhost browsers have no clipboard, but the old way works.
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("readonly", "");
    area.className = "sr-only";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export type Tone = "good" | "warn" | "bad" | "info" | "neutral";

const toneIcons: Record<Tone, IconName> = {
  good: "check",
  warn: "clock",
  bad: "cross",
  info: "info",
  neutral: "dot",
};

/** A short word about a state, told by shape and text as well as by colour. */
export function Badge({ tone, icon, children }: { tone: Tone; icon?: IconName; children: ReactNode }) {
  return (
    <span className={`${styles.badge} ${styles[tone]}`}>
      <Icon name={icon ?? toneIcons[tone]} size={12} />
      {children}
    </span>
  );
}
