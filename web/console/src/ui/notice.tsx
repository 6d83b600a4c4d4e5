import { Code } from "@connectrpc/connect";
import type { ReactNode } from "react";
import { describeError } from "../lib/errors";
import { Button } from "./button";
import { Icon, type IconName } from "./icons";
import styles from "./notice.module.css";
import { CopyButton, type Tone } from "./values";

const icons: Record<Tone, IconName> = {
  good: "check",
  warn: "alert",
  bad: "alert",
  info: "info",
  neutral: "info",
};

/** A message within a page. */
export function Notice({
  tone,
  title,
  children,
  action,
}: {
  tone: Tone;
  title?: ReactNode;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className={`${styles.notice} ${styles[tone]}`}>
      <Icon name={icons[tone]} />
      <div className={styles.body}>
        {title && <p className={styles.title}>{title}</p>}
        {children && <div>{children}</div>}
      </div>
      {action}
    </div>
  );
}

/** An error of a call, in words: what happened, what the server said, under which id its log has it. */
export function ErrorNotice({ error, onRetry }: { error: unknown; onRetry?: (() => void) | undefined }) {
  if (!error) return null;
  const problem = describeError(error);
  const quiet = problem.code === Code.Unimplemented || problem.code === Code.NotFound;
  return (
    <div role="alert">
      <Notice
        tone={quiet ? "neutral" : problem.temporary ? "warn" : "bad"}
        title={problem.title}
        action={
          onRetry &&
          problem.code !== Code.Unimplemented && (
            <Button small onClick={onRetry}>
              Try again
            </Button>
          )
        }
      >
        <p>{problem.text}</p>
        {problem.requestId && !quiet && (
          <p className={styles.request}>
            Request <code>{problem.requestId}</code>
            <CopyButton text={problem.requestId} label="Copy request id" />
          </p>
        )}
      </Notice>
    </div>
  );
}

/** What is shown where a list is empty. */
export function EmptyState({
  title,
  children,
  action,
}: {
  title?: string;
  children: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className={styles.empty}>
      {title && <p className={styles.title}>{title}</p>}
      <p>{children}</p>
      {action}
    </div>
  );
}

/** Grey bars in place of what is being read. */
export function Skeleton({ lines = 3 }: { lines?: number }) {
  return (
    <div className={styles.skeleton} aria-busy="true">
      <span className="sr-only">Loading</span>
      {Array.from({ length: lines }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
        <span key={i} className={styles.line} />
      ))}
    </div>
  );
}
