import { useMutation } from "@tanstack/react-query";
import type { Account } from "internaltransfers-client";
import { useState } from "react";
import { useCurrencies } from "../../lib/currencies";
import { describeError } from "../../lib/errors";
import { clients, queryClient } from "../../lib/rpc";
import { useSingle } from "../../lib/single";
import {
  AmountField,
  Button,
  CheckField,
  FieldRow,
  Form,
  FormActions,
  SelectField,
  TextField,
  toast,
} from "../../ui";
import styles from "./account.module.css";
import { changeAccount, rebase } from "./change";
import { ChangeError } from "./change-error";
import {
  type BlockDraft,
  draftOf,
  type LimitDraft,
  limitsMax,
  type PolicyDraft,
  readDraft,
  type WindowUnit,
  windowUnits,
  withLimit,
} from "./policy-draft";
import { showAccount } from "./use-account";

const units = (Object.keys(windowUnits) as WindowUnit[]).map((unit) => ({ value: unit, label: unit }));

/** The form for what an account may do. */
export function PolicyForm({ account, onClose }: { account: Account; onClose: () => void }) {
  // The account as the reader saw it when they began; money goes on moving meanwhile.
  const [seen, setSeen] = useState(account);
  const [draft, setDraft] = useState(() => draftOf(account));
  const [tried, setTried] = useState(false);
  const { currency } = seen;
  const currencies = useCurrencies();
  const scale = currencies.find(({ code }) => code === currency)?.scale ?? 18;
  const { change, paths, problems } = readDraft(draft, seen, scale);
  const update = useMutation({
    mutationFn: () => changeAccount(clients.accounts, seen, change, paths),
    onSuccess: (now) => {
      showAccount(now);
      void queryClient.invalidateQueries();
      toast("The limits are changed.");
      onClose();
    },
  });
  const patch = (part: Partial<PolicyDraft>) => setDraft({ ...draft, ...part });
  const serverSays = update.error ? describeError(update.error).fields : {};
  const problem = (field: string, apiField: string) =>
    (tried ? problems[field] : undefined) ?? serverSays[`account.${apiField}`];
  const submit = useSingle(async () => {
    setTried(true);
    if (Object.keys(problems).length > 0) return;
    if (paths.length === 0) onClose();
    else await update.mutateAsync();
  });
  return (
    <Form onSubmit={submit}>
      <FieldRow>
        <AmountField
          autoFocus
          label="Floor"
          hint="Below zero: an overdraft."
          value={draft.floor}
          onChange={(floor) => patch({ floor })}
          rules={{ scale, currency }}
          error={problem("floor", "min_balance")}
        />
        <AmountField
          label="Ceiling"
          optional
          value={draft.ceiling}
          onChange={(ceiling) => patch({ ceiling })}
          rules={{ scale, currency }}
          error={problem("ceiling", "max_balance")}
        />
      </FieldRow>
      <AmountField
        label="Most per transfer"
        optional
        value={draft.cap}
        onChange={(cap) => patch({ cap })}
        rules={{ scale, currency, sign: "positive" }}
        error={problem("cap", "max_transfer_amount")}
      />
      <BlockFields
        label="Block payments out"
        block={draft.debit}
        onChange={(debit) => patch({ debit })}
        reasonError={problem("debit.reason", "debit_block.reason")}
        untilError={problem("debit.until", "debit_block.end_time")}
      />
      <BlockFields
        label="Block payments in"
        block={draft.credit}
        onChange={(credit) => patch({ credit })}
        reasonError={problem("credit.reason", "credit_block.reason")}
        untilError={problem("credit.until", "credit_block.end_time")}
      />
      <fieldset className={styles.limitFields}>
        <legend className={styles.legend}>Rolling limits</legend>
        {draft.limits.map((limit, i) => (
          <LimitFields
            key={limit.number}
            place={i + 1}
            limit={limit}
            rules={{ scale, currency, sign: "non-negative" }}
            problem={(field) =>
              problem(
                `limits.${limit.number}.${field}`,
                `limits[${i}].${field === "maxAmount" ? "max_amount" : "window"}`,
              )
            }
            onChange={(limit) =>
              patch({ limits: draft.limits.map((old) => (old.number === limit.number ? limit : old)) })
            }
            onRemove={() => patch({ limits: draft.limits.filter(({ number }) => number !== limit.number) })}
          />
        ))}
        {draft.limits.length < limitsMax && (
          <div>
            <Button small icon="plus" onClick={() => patch({ limits: withLimit(draft.limits) })}>
              Add a limit
            </Button>
          </div>
        )}
      </fieldset>
      <ChangeError
        error={update.error}
        onLookAgain={(now) => {
          setDraft(rebase(draft, draftOf(seen), draftOf(now)));
          setSeen(now);
          update.reset();
        }}
      />
      <FormActions>
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" kind="primary" busy={update.isPending}>
          Save
        </Button>
      </FormActions>
    </Form>
  );
}

function BlockFields({
  label,
  block,
  onChange,
  reasonError,
  untilError,
}: {
  label: string;
  block: BlockDraft;
  onChange: (block: BlockDraft) => void;
  reasonError: string | undefined;
  untilError: string | undefined;
}) {
  return (
    <div className={styles.blockFields}>
      <CheckField label={label} checked={block.on} onChange={(on) => onChange({ ...block, on })} />
      {block.on && (
        <FieldRow>
          <TextField
            label="Why"
            hint="Refusals say it."
            maxLength={200}
            value={block.reason}
            onChange={(reason) => onChange({ ...block, reason })}
            error={reasonError}
          />
          <TextField
            type="datetime-local"
            step={1}
            label="Until"
            optional
            hint="In your time zone."
            value={block.until}
            onChange={(until) => onChange({ ...block, until })}
            error={untilError}
          />
        </FieldRow>
      )}
    </div>
  );
}

function LimitFields({
  place,
  limit,
  rules,
  problem,
  onChange,
  onRemove,
}: {
  place: number;
  limit: LimitDraft;
  rules: { scale: number; currency: string; sign: "non-negative" };
  problem: (field: "length" | "maxAmount" | "maxCount") => string | undefined;
  onChange: (limit: LimitDraft) => void;
  onRemove: () => void;
}) {
  return (
    <fieldset className={styles.limit}>
      <legend className="sr-only">Limit {place}</legend>
      <TextField
        label="Within"
        inputMode="numeric"
        value={limit.length}
        onChange={(length) => onChange({ ...limit, length })}
        error={problem("length")}
      />
      <SelectField<WindowUnit>
        label="Unit"
        value={limit.unit}
        options={units}
        onChange={(unit) => onChange({ ...limit, unit })}
      />
      <AmountField
        label="At most"
        value={limit.maxAmount}
        onChange={(maxAmount) => onChange({ ...limit, maxAmount })}
        rules={rules}
        error={problem("maxAmount")}
      />
      <TextField
        label="Payments"
        inputMode="numeric"
        placeholder="any number"
        value={limit.maxCount}
        onChange={(maxCount) => onChange({ ...limit, maxCount })}
        error={problem("maxCount")}
      />
      <div className={styles.remove}>
        <Button kind="quiet" icon="cross" aria-label={`Remove limit ${place}`} onClick={onRemove} />
      </div>
    </fieldset>
  );
}
