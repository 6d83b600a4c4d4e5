import { useState } from "react";
import { useCurrencies } from "../../lib/currencies";
import { toDate, toLocalInput } from "../../lib/time";
import { useTyped } from "../../lib/typed";
import { AccountField, Button, FilterBar, SelectField, TextField } from "../../ui";
import { type Filters, filterProblems, instant, isFamily, noFilters } from "./filters";
import styles from "./transfers.module.css";

type Change = (patch: Partial<Filters>, options?: { replace?: boolean }) => void;

const statuses = [
  { value: "", label: "Any status" },
  { value: "SUCCESS", label: "Succeeded" },
  { value: "INIT", label: "Pending" },
  { value: "FAILED", label: "Failed" },
];

/** What the list can be filtered by. Those that are used less are out of the way until they are wanted, or used. */
export function TransferFilters({ filters, onChange }: { filters: Filters; onChange: Change }) {
  const [open, setOpen] = useState(false);
  const rare = Boolean(filters.from || filters.to || filters.group || filters.parent);
  const used = Object.values(filters).some((value) => value !== "");
  const family = isFamily(filters);
  const wrong = filterProblems(filters);
  const currencies = useCurrencies();
  const codes = currencies.map((c) => c.code);
  if (filters.currency && !codes.includes(filters.currency)) codes.push(filters.currency);
  return (
    <FilterBar>
      {!family && (
        <AccountField
          label="Account"
          placeholder="Any account"
          value={filters.account}
          error={wrong.account}
          onChange={(account) => onChange({ account })}
        />
      )}
      <SelectField
        label="Status"
        value={filters.status}
        options={statuses}
        onChange={(status) => onChange({ status })}
      />
      {!family && (
        <>
          <SelectField
            label="Currency"
            value={filters.currency}
            options={[
              { value: "", label: "Any currency" },
              ...codes.map((code) => ({ value: code, label: code })),
            ]}
            onChange={(currency) => onChange({ currency })}
          />
          <TypedFilter
            label="Reference"
            name="reference"
            placeholder="Exactly as it is"
            {...{ filters, onChange }}
          />
        </>
      )}
      {(open || rare) && (
        <>
          {!family && <TimeFilter label="From" name="from" {...{ filters, onChange }} />}
          {!family && <TimeFilter label="Until" name="to" {...{ filters, onChange }} />}
          {!filters.parent && (
            <TypedFilter label="Group" name="group" placeholder="Group id" mono {...{ filters, onChange }} />
          )}
          {!filters.group && (
            <TypedFilter
              label="Of transfer"
              name="parent"
              placeholder="Transfer id"
              mono
              {...{ filters, onChange }}
            />
          )}
        </>
      )}
      {!rare && (
        <Button
          kind="quiet"
          icon={open ? undefined : "more"}
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          {open ? "Fewer filters" : "More filters"}
        </Button>
      )}
      {used && (
        <Button kind="quiet" icon="cross" onClick={() => onChange(noFilters)}>
          Clear
        </Button>
      )}
    </FilterBar>
  );
}

interface FilterProps {
  label: string;
  name: keyof Filters;
  filters: Filters;
  onChange: Change;
}

function TypedFilter({
  label,
  name,
  placeholder,
  mono = false,
  filters,
  onChange,
}: FilterProps & { placeholder: string; mono?: boolean }) {
  const [text, type] = useTyped(filters[name], (value) => onChange({ [name]: value }, { replace: true }));
  return (
    <TextField
      label={label}
      placeholder={placeholder}
      mono={mono}
      maxLength={200}
      error={filterProblems(filters)[name]}
      value={text}
      onChange={type}
    />
  );
}

/** A local time, kept in the address as the instant that it is. */
function TimeFilter({ label, name, filters, onChange }: FilterProps) {
  const at = instant(filters[name]);
  return (
    <div className={styles.time}>
      <TextField
        type="datetime-local"
        step={1}
        label={label}
        error={filterProblems(filters)[name]}
        value={at ? toLocalInput(toDate(at)) : ""}
        onChange={(local) => {
          const date = new Date(local);
          onChange({ [name]: Number.isNaN(date.getTime()) ? "" : date.toISOString() }, { replace: true });
        }}
      />
    </div>
  );
}
