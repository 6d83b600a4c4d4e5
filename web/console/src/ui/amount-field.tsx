import type { ReactNode } from "react";
import { type CheckedAmount, checkAmount } from "../lib/money";
import { TextField } from "./field";

/** What an amount that is typed must be. */
export interface AmountRules {
  /** The number of decimals of the currency. Undefined, while it is not known: as many as the ledger has at most. */
  scale: number | undefined;
  /** The code of the currency. */
  currency: string;
  sign?: "any" | "positive" | "non-negative";
}

/** What a typed amount is; undefined when nothing was typed. */
export function readAmount(text: string, { scale, currency, sign }: AmountRules): CheckedAmount | undefined {
  if (text.trim() === "") return undefined;
  return checkAmount(text, scale ?? 18, { currency, ...(sign && { sign }) });
}

/** A field for an amount of money, exact, which says what is wrong as it is typed. */
export function AmountField({
  label,
  hint,
  error,
  optional = false,
  value,
  onChange,
  rules,
  autoFocus,
  placeholder,
  disabled = false,
}: {
  label: string;
  hint?: ReactNode;
  /** What is wrong with it that its digits do not tell, such as what the server said. */
  error?: string | undefined;
  optional?: boolean;
  /** The text, as typed: readAmount says what it is. */
  value: string;
  onChange: (text: string) => void;
  rules: AmountRules;
  autoFocus?: boolean;
  placeholder?: string;
  disabled?: boolean;
}) {
  const checked = readAmount(value, rules);
  return (
    <TextField
      numeric
      {...{ label, hint, optional, value, onChange, autoFocus, placeholder, disabled }}
      error={checked?.ok === false ? checked.message : error}
      suffix={rules.currency}
    />
  );
}
