import { Code } from "@connectrpc/connect";
import { useMutation } from "@connectrpc/connect-query";
import { AccountService, newTransferId as newId } from "internaltransfers-client";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { useCurrencies } from "../../lib/currencies";
import { describeError } from "../../lib/errors";
import { imageProblem } from "../../lib/image";
import { compareDecimals } from "../../lib/money";
import { usePermission } from "../../lib/permissions";
import { queryClient } from "../../lib/rpc";
import { useSingle } from "../../lib/single";
import { isUUID } from "../../lib/url";
import {
  AmountField,
  Button,
  ErrorNotice,
  Form,
  FormActions,
  MetadataField,
  metadataOf,
  Notice,
  type Pair,
  pairsAreSound,
  readAmount,
  SelectField,
  TextField,
  toast,
} from "../../ui";
import styles from "./accounts.module.css";

const nameMax = 200;

/**
 * The form for a new account. Its id is made when the form opens, so that a click too many, or a retry after no answer, opens the
 * same account and not a second one.
 */
export function CreateAccount({ onClose }: { onClose: () => void }) {
  const [accountId, setAccountId] = useState(newId);
  const [displayName, setDisplayName] = useState("");
  const [currency, setCurrency] = useState("USD");
  const [balance, setBalance] = useState("");
  const [floor, setFloor] = useState("");
  const [imageUrl, setImageUrl] = useState("");
  const [pairs, setPairs] = useState<Pair[]>([]);
  const [tried, setTried] = useState(false);
  const mayNotIssue = usePermission("money.issue");
  const mayNotRestrict = usePermission("accounts.policy");
  const [, navigate] = useLocation();
  const currencies = useCurrencies();
  const create = useMutation(AccountService.method.createAccount);

  const scale = currencies.find(({ code }) => code === currency)?.scale;
  const rules = { scale, currency };
  const initial = readAmount(balance, { ...rules, sign: "non-negative" });
  const least = readAmount(floor, rules);
  const floorTooHigh =
    least?.ok && initial?.ok !== false && compareDecimals(least.value, initial?.value ?? "0") > 0
      ? "The floor must not be above the opening balance."
      : undefined;
  const idProblem = isUUID(accountId) ? undefined : "An account id is a UUID.";
  const sound =
    initial?.ok !== false &&
    least?.ok !== false &&
    !floorTooHigh &&
    !idProblem &&
    !imageProblem(imageUrl) &&
    pairsAreSound(pairs);

  const problem = create.error ? describeError(create.error) : undefined;
  // What the server said of a field holds until the next attempt.
  const said = (field: string) => problem?.fields[field];
  const metadataSaid = Object.entries(problem?.fields ?? {}).find(([field]) =>
    field.startsWith("metadata"),
  )?.[1];

  const submit = useSingle(async () => {
    setTried(true);
    if (!sound) return;
    const { account } = await create.mutateAsync({
      accountId: accountId.trim().toLowerCase(),
      displayName,
      currency,
      initialBalance: initial?.ok ? initial.value : "",
      minBalance: least?.ok ? least.value : "",
      imageUrl: imageUrl.trim(),
      metadata: metadataOf(pairs),
    });
    void queryClient.invalidateQueries();
    toast(`${displayName || "The account"} is open.`);
    onClose();
    if (account) navigate(`/accounts/${account.accountId}`);
  });

  return (
    <Form onSubmit={submit}>
      <TextField
        label="Name"
        optional
        autoFocus
        maxLength={nameMax}
        value={displayName}
        onChange={setDisplayName}
        error={said("display_name")}
      />
      <div className={styles.row}>
        <SelectField
          label="Currency"
          value={currency}
          options={(currencies.length > 0 ? currencies.map(({ code }) => code) : [currency]).map((code) => ({
            value: code,
            label: code,
          }))}
          hint="It never changes."
          error={said("currency")}
          onChange={setCurrency}
        />
        <AmountField
          label="Opening balance"
          placeholder="0"
          disabled={mayNotIssue !== undefined}
          hint={mayNotIssue}
          value={balance}
          onChange={setBalance}
          rules={{ ...rules, sign: "non-negative" }}
          error={said("initial_balance")}
        />
        <AmountField
          label="Floor"
          placeholder="0"
          disabled={mayNotRestrict !== undefined}
          hint={mayNotRestrict ?? "Below zero: an overdraft."}
          value={floor}
          onChange={setFloor}
          rules={rules}
          error={floorTooHigh ?? said("min_balance")}
        />
      </div>
      <TextField
        label="Picture"
        optional
        type="url"
        placeholder="https://"
        value={imageUrl}
        onChange={setImageUrl}
        error={(tried ? imageProblem(imageUrl) : undefined) ?? said("image_url")}
      />
      <MetadataField pairs={pairs} onChange={setPairs} error={metadataSaid} />
      <TextField
        label="Account id"
        mono
        hint="Made for you; another UUID will do too."
        value={accountId}
        onChange={setAccountId}
        error={idProblem ?? said("account_id")}
      />
      {problem?.code === Code.AlreadyExists ? (
        <Notice tone="bad" title="There is an account with this id already">
          It was opened with other fields, maybe by an earlier attempt of yours.{" "}
          <Link href={`/accounts/${accountId.trim().toLowerCase()}`}>Look at it</Link>
        </Notice>
      ) : (
        <ErrorNotice error={create.error} />
      )}
      <FormActions>
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" kind="primary" busy={create.isPending}>
          Open account
        </Button>
      </FormActions>
    </Form>
  );
}
