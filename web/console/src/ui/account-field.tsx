import { useQuery } from "@connectrpc/connect-query";
import { keepPreviousData } from "@tanstack/react-query";
import { type Account, AccountService } from "internaltransfers-client";
import { type ReactNode, useDeferredValue, useState } from "react";
import { isTemporary } from "../lib/errors";
import { usePermission } from "../lib/permissions";
import { isUUID } from "../lib/url";
import styles from "./account-field.module.css";
import { Combobox } from "./combobox";
import { Amount } from "./values";

/** A field for an account: found by the words of its name, or by its id. */
export function AccountField({
  label,
  hint,
  error,
  hideLabel = false,
  optional = false,
  placeholder = "Name or account id",
  currency = "",
  value,
  onChange,
}: {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  hideLabel?: boolean;
  optional?: boolean;
  placeholder?: string;
  /** Only accounts in this currency. */
  currency?: string;
  /** The id of the chosen account; empty: none. */
  value: string;
  onChange: (accountId: string, account: Account | undefined) => void;
}) {
  const [search, setSearch] = useState("");
  const mayRead = usePermission("accounts.read") === undefined;
  const text = useDeferredValue(search.trim());
  const chosen = useQuery(
    AccountService.method.getAccount,
    { accountId: value },
    { enabled: mayRead && isUUID(value), retry: (n, e) => n < 3 && isTemporary(e) },
  );
  const found = useQuery(
    AccountService.method.listAccounts,
    { search: text, currency, pageSize: 20 },
    { placeholderData: keepPreviousData, enabled: mayRead },
  );
  return (
    <Combobox<Account>
      {...{ label, hint, error, hideLabel, optional, placeholder }}
      value={value === "" ? null : (chosen.data?.account ?? null)}
      items={found.data?.accounts ?? []}
      loading={found.isFetching && text !== ""}
      empty={text === "" ? "There are no accounts yet." : "No account has such a name or id."}
      itemKey={(account) => account.accountId}
      itemText={accountName}
      renderItem={(account) => (
        <span className={styles.option}>
          <Avatar account={account} />
          <span className={styles.names}>
            <span className={styles.name}>{accountName(account)}</span>
            <span className={styles.id}>{account.accountId}</span>
          </span>
          <Amount value={account.available} currency={account.currency} muted />
        </span>
      )}
      onSearch={setSearch}
      onChange={(account) => onChange(account?.accountId ?? "", account ?? undefined)}
    />
  );
}

/** What people call an account: its name, or else the beginning of its id. */
export function accountName(account: { displayName: string; accountId: string }): string {
  return account.displayName || `Account ${account.accountId.slice(0, 8)}`;
}

/**
 * The first letters of an account's name. Its picture is an address that a caller gave: to fetch it
 * would tell its owner who looks at the account, and when. The profile has a link to it.
 */
export function Avatar({
  account,
  size = 1.75,
}: {
  account: { displayName: string };
  /** In rem. */
  size?: number;
}) {
  const letters = (account.displayName || "#")
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => word.charAt(0).toUpperCase())
    .join("");
  return (
    <span
      className={styles.avatar}
      style={{ width: `${size}rem`, height: `${size}rem`, fontSize: `${size * 0.4}rem` }}
      aria-hidden="true"
    >
      {letters}
    </span>
  );
}
