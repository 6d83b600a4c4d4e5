import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";
import { Link } from "wouter";
import { type Needs, usePermission } from "../lib/permissions";
import styles from "./button.module.css";
import { Denied } from "./denied";
import { Icon, type IconName } from "./icons";

type Kind = "primary" | "plain" | "quiet" | "danger";

interface Looks {
  /** primary: the one thing to do here; plain: others; quiet: without a frame; danger: cannot be taken back. */
  kind?: Kind | undefined;
  icon?: IconName | undefined;
  small?: boolean | undefined;
  children?: ReactNode;
}

function looks(kind: Kind = "plain", small = false, bare = false): string {
  return [styles.button, styles[kind], small && styles.small, bare && styles.bare].filter(Boolean).join(" ");
}

/**
 * A button. While busy it says so and takes no clicks, but keeps the focus. One that needs a permission which the reader
 * lacks takes no clicks either, and says why.
 */
export function Button({
  kind,
  icon,
  small,
  busy = false,
  needs,
  children,
  ref,
  ...rest
}: Looks & {
  busy?: boolean;
  /** What the reader must be allowed to do. */
  needs?: Needs | undefined;
  ref?: Ref<HTMLButtonElement>;
} & ButtonHTMLAttributes<HTMLButtonElement>) {
  const reason = usePermission(needs);
  const button = (denied: object) => (
    <button
      type="button"
      {...rest}
      {...denied}
      ref={ref}
      className={looks(kind, small, !children)}
      onClick={busy || reason ? (event) => event.preventDefault() : rest.onClick}
    >
      {busy ? <span className={styles.spinner} aria-hidden="true" /> : icon && <Icon name={icon} />}
      {children}
      {busy && <span className="sr-only">, working</span>}
    </button>
  );
  if (reason) return <Denied reason={reason}>{button}</Denied>;
  return button({ "aria-disabled": busy || rest.disabled || undefined });
}

/** A link that looks like a button. One whose page needs a permission that the reader lacks leads nowhere, and says why. */
export function ButtonLink({
  kind,
  icon,
  small,
  children,
  href,
  needs,
}: Looks & { href: string; needs?: Needs }) {
  const reason = usePermission(needs);
  if (reason) {
    return <Button {...{ kind, icon, small, needs }}>{children}</Button>;
  }
  return (
    <Link href={href} className={looks(kind, small, !children)}>
      {icon && <Icon name={icon} />}
      {children}
    </Link>
  );
}

/** A few choices of which one holds, such as a range of time. */
export function Segments<T extends string>({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
}) {
  return (
    <fieldset className={styles.segments}>
      <legend className="sr-only">{label}</legend>
      {options.map((option) => (
        <label key={option.value} className={styles.segment}>
          <input
            type="radio"
            name={label}
            value={option.value}
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          <span>{option.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** A link to a file that is kept, not shown. */
export function DownloadLink({ kind, icon = "download", small, children, href }: Looks & { href: string }) {
  return (
    <a href={href} download className={looks(kind, small, !children)}>
      <Icon name={icon} />
      {children}
    </a>
  );
}
