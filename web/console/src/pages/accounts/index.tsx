import { useInfiniteQuery } from "@connectrpc/connect-query";
import { keepPreviousData } from "@tanstack/react-query";
import { type Account, Account_Status, AccountService } from "internaltransfers-client";
import { useState } from "react";
import { Link } from "wouter";
import { useCurrencies } from "../../lib/currencies";
import { useDebounced } from "../../lib/debounce";
import { isZero } from "../../lib/money";
import { useUrlState } from "../../lib/url";
import {
  AccountStatusBadge,
  Amount,
  Avatar,
  accountName,
  Button,
  type Column,
  Dialog,
  FilterBar,
  IdText,
  Nothing,
  PageHeader,
  SelectField,
  Table,
  TextField,
  Time,
  tableState,
} from "../../ui";
import styles from "./accounts.module.css";
import { CreateAccount } from "./create";

const statuses = [
  { value: "", label: "Any status" },
  { value: "OPEN", label: "Open" },
  { value: "FROZEN", label: "Frozen" },
  { value: "CLOSED", label: "Closed" },
] as const;

type StatusName = (typeof statuses)[number]["value"];

const noFilter = { search: "", currency: "", status: "" };

/** How often the list is read anew while it is looked at, in milliseconds. */
const refreshMs = 3_000;

const columns: Column<Account>[] = [
  {
    id: "name",
    header: "Name",
    primary: true,
    cell: (account) => (
      <span className={styles.account}>
        <Avatar account={account} size={2.125} />
        <span className={styles.names}>
          <Link href={`/accounts/${account.accountId}`} className={styles.name}>
            {accountName(account)}
          </Link>
          <IdText id={account.accountId} label={`id of ${accountName(account)}`} />
        </span>
      </span>
    ),
  },
  {
    id: "status",
    header: "Status",
    fit: true,
    cell: (account) => <AccountStatusBadge status={account.status} />,
  },
  {
    id: "balance",
    header: "Balance",
    align: "end",
    cell: (account) => <Amount value={account.balance} currency={account.currency} strong />,
  },
  {
    id: "available",
    header: "Available",
    align: "end",
    hide: "narrow",
    cell: (account) => <Amount value={account.available} />,
  },
  {
    id: "held",
    header: "Held",
    align: "end",
    hide: "narrow",
    cell: (account) => (isZero(account.held) ? <Nothing /> : <Amount value={account.held} />),
  },
  {
    id: "updated",
    header: "Updated",
    fit: true,
    align: "end",
    hide: "phone",
    cell: (account) => <Time value={account.updateTime} as="relative" />,
  },
];

/** All accounts, found by name, id, currency and status. */
export function Accounts() {
  const [filter, setFilter] = useUrlState(noFilter);
  const [creating, setCreating] = useState(false);
  const currencies = useCurrencies();
  const search = useDebounced(filter.search.trim(), 200);
  const status = statuses.find(({ value }) => value === filter.status)?.value ?? "";
  const query = useInfiniteQuery(
    AccountService.method.listAccounts,
    {
      pageSize: 50,
      pageToken: "",
      search,
      currency: filter.currency,
      status: status === "" ? Account_Status.STATUS_UNSPECIFIED : Account_Status[status],
    },
    {
      pageParamKey: "pageToken",
      getNextPageParam: (page) => page.nextPageToken || undefined,
      placeholderData: keepPreviousData,
      // Each page that was loaded is read again, so a long list is read less often.
      refetchInterval: (query) => refreshMs * Math.max(1, query.state.data?.pages.length ?? 1),
    },
  );
  const filtered = filter.search.trim() !== "" || filter.currency !== "" || status !== "";
  // A currency that is in the address but not in the ledger is shown too, so that it can be taken away.
  const codes = [...new Set([...currencies.map(({ code }) => code), filter.currency])].filter(Boolean).sort();
  const create = (
    <Button kind="primary" icon="plus" needs="accounts.write" onClick={() => setCreating(true)}>
      New account
    </Button>
  );
  return (
    <>
      <PageHeader title="Accounts" actions={create} />
      <FilterBar>
        <TextField
          search
          label="Search"
          hideLabel
          placeholder="Name or id"
          maxLength={100}
          value={filter.search}
          onChange={(search) => setFilter({ search }, { replace: true })}
        />
        <SelectField
          label="Currency"
          hideLabel
          value={filter.currency}
          options={[
            { value: "", label: "Any currency" },
            ...codes.map((code) => ({ value: code, label: code })),
          ]}
          onChange={(currency) => setFilter({ currency })}
        />
        <SelectField<StatusName>
          label="Status"
          hideLabel
          value={status}
          options={statuses}
          onChange={(status) => setFilter({ status })}
        />
      </FilterBar>
      <Table
        label="Accounts"
        columns={columns}
        rows={query.data?.pages.flatMap((page) => page.accounts)}
        rowKey={(account) => account.accountId}
        empty={filtered ? "No account matches." : "There are no accounts yet. Open one, and money can move."}
        emptyAction={
          filtered ? <Button onClick={() => setFilter(noFilter)}>Clear the filters</Button> : create
        }
        {...tableState(query)}
      />
      <Dialog open={creating} onClose={() => setCreating(false)} title="New account">
        <CreateAccount onClose={() => setCreating(false)} />
      </Dialog>
    </>
  );
}
