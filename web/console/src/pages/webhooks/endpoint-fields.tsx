import { useCurrencies } from "../../lib/currencies";
import { AccountField, Button, CheckField, TextField } from "../../ui";
import { type Draft, type StatusName, statusWords, type TypeName, typeWords, urlProblem } from "./draft";
import styles from "./webhooks.module.css";

/** The fields of an endpoint, new or not. */
export function EndpointFields({
  draft,
  errors,
  submitted,
  onChange,
}: {
  draft: Draft;
  errors: Record<string, string>;
  submitted: boolean;
  onChange: (patch: Partial<Draft>) => void;
}) {
  const currencies = useCurrencies();
  const codes = new Set([...currencies.map((c) => c.code), ...draft.currencies]);
  return (
    <>
      <TextField
        label="Address"
        mono
        inputMode="url"
        maxLength={2048}
        placeholder="https://example.com/hooks"
        error={errors.url ?? (submitted ? urlProblem(draft.url) : undefined)}
        value={draft.url}
        onChange={(url) => onChange({ url })}
      />
      <TextField
        label="Description"
        optional
        maxLength={200}
        error={errors.description}
        value={draft.description}
        onChange={(description) => onChange({ description })}
      />
      <Choices<TypeName>
        legend="Events"
        hint="None chosen: all of them."
        words={typeWords}
        chosen={draft.types}
        onChange={(types) => onChange({ types })}
      />
      <Choices<StatusName>
        legend="Transfers that are now"
        hint="None chosen: whatever they are. With one chosen, no events of accounts."
        words={statusWords}
        chosen={draft.statuses}
        onChange={(statuses) => onChange({ statuses })}
      />
      <Choices<string>
        legend="Currencies"
        hint="None chosen: all."
        words={Object.fromEntries([...codes].map((code) => [code, code]))}
        chosen={draft.currencies}
        onChange={(chosen) => onChange({ currencies: chosen })}
      />
      <Accounts
        accounts={draft.accounts}
        error={errors["filter.account_ids"]}
        onChange={(accounts) => onChange({ accounts })}
      />
    </>
  );
}

/** Some of a few values. */
function Choices<T extends string>({
  legend,
  hint,
  words,
  chosen,
  onChange,
}: {
  legend: string;
  hint: string;
  words: Record<T, string>;
  chosen: readonly T[];
  onChange: (chosen: T[]) => void;
}) {
  return (
    <fieldset className={styles.choices}>
      <legend>
        {legend} <span>{hint}</span>
      </legend>
      {(Object.entries(words) as [T, string][]).map(([value, label]) => (
        <CheckField
          key={value}
          label={label}
          checked={chosen.includes(value)}
          onChange={(on) => onChange(on ? [...chosen, value] : chosen.filter((other) => other !== value))}
        />
      ))}
    </fieldset>
  );
}

const accountsMax = 100;

function Accounts({
  accounts,
  error,
  onChange,
}: {
  accounts: readonly string[];
  error: string | undefined;
  onChange: (accounts: string[]) => void;
}) {
  return (
    <fieldset className={styles.accounts}>
      <legend>
        Accounts <span>None chosen: all.</span>
      </legend>
      {accounts.map((id, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they have no other identity while they are chosen
        <div key={i} className={styles.account}>
          <AccountField
            label={`Account ${i + 1}`}
            hideLabel
            error={error}
            value={id}
            onChange={(next) => onChange(accounts.map((old, j) => (i === j ? next : old)))}
          />
          <Button
            kind="quiet"
            icon="cross"
            aria-label={`Remove account ${i + 1}`}
            onClick={() => onChange(accounts.filter((_, j) => j !== i))}
          />
        </div>
      ))}
      {accounts.length < accountsMax && (
        <div>
          <Button small icon="plus" onClick={() => onChange([...accounts, ""])}>
            Add account
          </Button>
        </div>
      )}
    </fieldset>
  );
}
