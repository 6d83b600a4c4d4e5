import {
  type InputHTMLAttributes,
  type ReactNode,
  type Ref,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  useId,
} from "react";
import styles from "./field.module.css";
import { Icon } from "./icons";

interface FieldProps {
  label: string;
  /** A sentence below the control that helps to fill it. */
  hint?: ReactNode;
  /** What is wrong with the value, in words. Takes the hint's place. */
  error?: string | undefined;
  /** Show the label to screen readers alone, as in a bar of filters. */
  hideLabel?: boolean;
  /** Said after the label, where most fields are required. */
  optional?: boolean;
}

interface ControlProps {
  id: string;
  "aria-invalid": true | undefined;
  "aria-describedby": string | undefined;
}

/** The frame of a control: its label, what helps, what is wrong. */
export function Field({
  label,
  hint,
  error,
  hideLabel = false,
  optional = false,
  children,
}: FieldProps & { children: (control: ControlProps) => ReactNode }) {
  const id = useId();
  const note = error ?? hint;
  return (
    <div className={styles.field}>
      <label htmlFor={id} className={hideLabel ? "sr-only" : styles.label}>
        {label}
        {optional && <span className={styles.optional}> optional</span>}
      </label>
      {children({
        id,
        "aria-invalid": error !== undefined || undefined,
        "aria-describedby": note !== undefined ? `${id}-note` : undefined,
      })}
      <div id={`${id}-note`} className={error !== undefined ? styles.error : styles.hint} aria-live="polite">
        {error !== undefined && <Icon name="alert" size={14} />}
        {note}
      </div>
    </div>
  );
}

/** A line of text. */
export function TextField({
  label,
  hint,
  error,
  hideLabel,
  optional,
  onChange,
  suffix,
  search = false,
  mono = false,
  numeric = false,
  ref,
  ...rest
}: FieldProps & {
  value: string;
  onChange: (value: string) => void;
  /** A word at the end of the control, such as a currency. */
  suffix?: string | undefined;
  /** A magnifying glass in front. */
  search?: boolean;
  /** For ids. */
  mono?: boolean;
  /** For amounts: digits of equal width, at the right, and a phone's keyboard for decimals. */
  numeric?: boolean;
  ref?: Ref<HTMLInputElement>;
} & Omit<InputHTMLAttributes<HTMLInputElement>, "onChange" | "value">) {
  return (
    <Field {...{ label, hint, error }} hideLabel={hideLabel ?? false} optional={optional ?? false}>
      {(control) => (
        <div className={styles.control} data-search={search || undefined}>
          {search && <Icon name="search" />}
          <input
            type={search ? "search" : "text"}
            autoComplete="off"
            spellCheck={mono || numeric || search ? false : undefined}
            inputMode={numeric ? "decimal" : undefined}
            {...rest}
            {...control}
            ref={ref}
            className={[styles.input, mono && styles.mono, numeric && styles.numeric]
              .filter(Boolean)
              .join(" ")}
            onChange={(event) => onChange(event.target.value)}
          />
          {suffix && <span className={styles.suffix}>{suffix}</span>}
        </div>
      )}
    </Field>
  );
}

/**
 * A secret, such as a password. What is typed stays in the control: who needs it reads it there, once, and empties it.
 */
export function SecretField({
  label,
  hint,
  error,
  ref,
  ...rest
}: FieldProps & { ref: Ref<HTMLInputElement> } & Omit<
    InputHTMLAttributes<HTMLInputElement>,
    "value" | "type"
  >) {
  return (
    <Field {...{ label, hint, error }}>
      {(control) => (
        <input
          type="password"
          spellCheck={false}
          autoCapitalize="none"
          {...rest}
          {...control}
          ref={ref}
          className={`${styles.input} ${styles.mono}`}
        />
      )}
    </Field>
  );
}

/** Several lines of text. */
export function TextArea({
  label,
  hint,
  error,
  hideLabel,
  optional,
  onChange,
  mono = false,
  ...rest
}: FieldProps & {
  value: string;
  onChange: (value: string) => void;
  mono?: boolean;
} & Omit<TextareaHTMLAttributes<HTMLTextAreaElement>, "onChange" | "value">) {
  return (
    <Field {...{ label, hint, error }} hideLabel={hideLabel ?? false} optional={optional ?? false}>
      {(control) => (
        <textarea
          rows={3}
          spellCheck={mono ? false : undefined}
          {...rest}
          {...control}
          className={[styles.input, styles.area, mono && styles.mono].filter(Boolean).join(" ")}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  );
}

/** One of a few values. */
export function SelectField<T extends string>({
  label,
  hint,
  error,
  hideLabel,
  optional,
  value,
  options,
  onChange,
  ...rest
}: FieldProps & {
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
} & Omit<SelectHTMLAttributes<HTMLSelectElement>, "onChange" | "value">) {
  return (
    <Field {...{ label, hint, error }} hideLabel={hideLabel ?? false} optional={optional ?? false}>
      {(control) => (
        <div className={styles.control}>
          <select
            {...rest}
            {...control}
            value={value}
            className={`${styles.input} ${styles.select}`}
            onChange={(event) => onChange(event.target.value as T)}
          >
            {options.map((option) => (
              <option key={option.value} value={option.value}>
                {option.label}
              </option>
            ))}
          </select>
          <Icon name="down" size={14} />
        </div>
      )}
    </Field>
  );
}

/** Yes or no. */
export function CheckField({
  label,
  hint,
  checked,
  onChange,
  disabled = false,
}: {
  label: ReactNode;
  hint?: ReactNode;
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <div className={styles.check}>
      <input
        id={id}
        type="checkbox"
        checked={checked}
        disabled={disabled}
        aria-describedby={hint ? `${id}-note` : undefined}
        onChange={(event) => onChange(event.target.checked)}
      />
      <label htmlFor={id}>{label}</label>
      {hint && (
        <div id={`${id}-note`} className={styles.hint}>
          {hint}
        </div>
      )}
    </div>
  );
}

/** A bar of filters above a table: fields side by side, below each other on a phone. */
export function FilterBar({ children, label = "Filters" }: { children: ReactNode; label?: string }) {
  return (
    <search aria-label={label} className={styles.filters}>
      {children}
    </search>
  );
}

/** A form whose fields are below each other. */
export function Form({ onSubmit, children }: { onSubmit: () => void; children: ReactNode }) {
  return (
    <form
      noValidate
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit();
      }}
    >
      {children}
    </form>
  );
}

/** Fields of a form that stand side by side where there is room. */
export function FieldRow({ children }: { children: ReactNode }) {
  return <div className={styles.fieldRow}>{children}</div>;
}

/** The buttons at a form's end. */
export function FormActions({ children }: { children: ReactNode }) {
  return <div className={styles.actions}>{children}</div>;
}
