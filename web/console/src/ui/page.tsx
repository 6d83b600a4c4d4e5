import { type ReactNode, useEffect, useId, useRef } from "react";
import { Link, useLocation } from "wouter";
import { Icon } from "./icons";
import styles from "./page.module.css";

const product = "Internal transfers";

/** Whether the reader has gone from one page to another: the first page leaves the focus where browsers put it. */
let navigated = false;

/** The head of a page: its heading, which also is its title and takes the focus, and what can be done there. */
export function PageHeader({
  title,
  heading = title,
  lead,
  back,
  actions,
}: {
  /** The page's title, as in the tab. */
  title: string;
  /** The heading, when it is more than the title. */
  heading?: ReactNode;
  /** A sentence about the page. */
  lead?: ReactNode;
  /** The page above this one. */
  back?: { href: string; label: string };
  actions?: ReactNode;
}) {
  const ref = useRef<HTMLHeadingElement>(null);
  const [path] = useLocation();
  useEffect(() => {
    document.title = `${title} · ${product}`;
  }, [title]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a page with another path is another page
  useEffect(() => {
    if (navigated) ref.current?.focus({ preventScroll: true });
    navigated = true;
  }, [path]);
  return (
    <header className={styles.header}>
      <div className={styles.titles}>
        {back && (
          <Link href={back.href} className={styles.back}>
            <Icon name="left" size={14} />
            {back.label}
          </Link>
        )}
        <h1 ref={ref} tabIndex={-1} className={styles.title}>
          {heading}
        </h1>
        {lead && <div className={styles.lead}>{lead}</div>}
      </div>
      {actions && <div className={styles.actions}>{actions}</div>}
    </header>
  );
}

/** A part of a page on a surface of its own. */
export function Card({
  title,
  actions,
  flush = false,
  children,
}: {
  title?: ReactNode;
  actions?: ReactNode;
  /** The content goes to the edges. */
  flush?: boolean;
  children: ReactNode;
}) {
  const id = useId();
  return (
    <section className={styles.card} aria-labelledby={title ? id : undefined}>
      {(title || actions) && (
        <div className={styles.cardHead}>
          {title && <h2 id={id}>{title}</h2>}
          {actions && <div className={styles.actions}>{actions}</div>}
        </div>
      )}
      <div className={flush ? styles.flush : styles.cardBody}>{children}</div>
    </section>
  );
}

/** A part of a page without a surface: a heading, and below it what brings its own, such as a table. */
export function Section({
  title,
  actions,
  children,
}: {
  title: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  const id = useId();
  return (
    <section className={styles.section} aria-labelledby={id}>
      <div className={styles.sectionHead}>
        <h2 id={id}>{title}</h2>
        {actions && <div className={styles.actions}>{actions}</div>}
      </div>
      {children}
    </section>
  );
}

/** Parts side by side where there is room; "main" gives the first two thirds. */
export function Columns({ children, split = "even" }: { children: ReactNode; split?: "even" | "main" }) {
  return (
    <div className={`${styles.columns} ${split === "main" ? styles.main : styles.even}`}>{children}</div>
  );
}

/** Names and values, such as the fields of one thing. What is undefined is left out. */
export function Details({ items }: { items: (readonly [string, ReactNode] | undefined | false)[] }) {
  return (
    <dl className={styles.details}>
      {items.map(
        (item) =>
          item && (
            <div key={item[0]}>
              <dt>{item[0]}</dt>
              <dd>{item[1]}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

/** A figure with its name, large. */
export function Figure({
  label,
  children,
  note,
}: {
  label: ReactNode;
  children: ReactNode;
  note?: ReactNode;
}) {
  return (
    <div className={styles.figure}>
      <div className={styles.figureLabel}>{label}</div>
      <div className={styles.figureValue}>{children}</div>
      {note && <div className={styles.figureNote}>{note}</div>}
    </div>
  );
}

/** Figures side by side. */
export function Figures({ children }: { children: ReactNode }) {
  return <div className={styles.figures}>{children}</div>;
}
