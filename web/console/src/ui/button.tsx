import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";
import { Link } from "wouter";
import styles from "./button.module.css";
import { Icon, type IconName } from "./icons";

type Kind = "primary" | "plain" | "quiet" | "danger";

interface Looks {
  /** primary: the one thing to do here; plain: others; quiet: without a frame; danger: cannot be taken back. */
  kind?: Kind;
  icon?: IconName;
  small?: boolean;
  children?: ReactNode;
}

function looks(kind: Kind = "plain", small = false, bare = false): string {
  return [styles.button, styles[kind], small && styles.small, bare && styles.bare].filter(Boolean).join(" ");
}

/** A button. While busy it says so and takes no clicks, but keeps the focus. */
export function Button({
  kind,
  icon,
  small,
  busy = false,
  children,
  ref,
  ...rest
}: Looks & { busy?: boolean; ref?: Ref<HTMLButtonElement> } & ButtonHTMLAttributes<HTMLButtonElement>) {
  return (
    <button
      type="button"
      {...rest}
      ref={ref}
      className={looks(kind, small, !children)}
      aria-disabled={busy || rest.disabled || undefined}
      onClick={busy ? (event) => event.preventDefault() : rest.onClick}
    >
      {busy ? <span className={styles.spinner} aria-hidden="true" /> : icon && <Icon name={icon} />}
      {children}
      {busy && <span className="sr-only">, working</span>}
    </button>
  );
}

/** A link that looks like a button. */
export function ButtonLink({ kind, icon, small, children, href }: Looks & { href: string }) {
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
