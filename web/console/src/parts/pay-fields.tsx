import { useQuery } from "@connectrpc/connect-query";
import { type Account, Account_Status, AccountService } from "internaltransfers-client";
import { useCurrencies } from "../lib/currencies";
import { type CheckedAmount, checkAmount, formatAmount } from "../lib/money";
import { isUUID } from "../lib/url";
import { AccountField, accountName, Button, FieldRow, TextField } from "../ui";
import styles from "./pay-fields.module.css";

/** The most decimals that any currency has, for as long as it is not known which. */
const scaleMax = 18;

/** Who pays whom how much. */
export interface Payment {
  from: string;
  to: string;
  amount: string;
}

/** What the fields of a payment come to. */
export interface CheckedPayment {
  payer: Account | undefined;
  payee: Account | undefined;
  currency: string;
  amount: CheckedAmount;
  /** What is wrong with the two accounts together. */
  problem: string | undefined;
  /** Whether nothing is missing or known to be wrong. */
  ready: boolean;
}

/** Reads the accounts of a payment, and checks its amount with the decimals of their currency. */
export function usePayment({ from, to, amount }: Payment): CheckedPayment {
  const payer = useAccount(from);
  const payee = useAccount(to);
  const currencies = useCurrencies();
  const currency = payer?.currency ?? payee?.currency ?? "";
  const scale = currencies.find((c) => c.code === currency)?.scale ?? scaleMax;
  const checked = checkAmount(amount, scale, { sign: "positive", ...(currency ? { currency } : {}) });
  const problem =
    from !== "" && from === to
      ? "Choose another account than the one that pays."
      : payer && payee && payer.currency !== payee.currency
        ? `This account is in ${payee.currency}, and the paying one in ${payer.currency}.`
        : undefined;
  return {
    payer,
    payee,
    currency,
    amount: checked,
    problem,
    ready: isUUID(from) && isUUID(to) && checked.ok && problem === undefined,
  };
}

function useAccount(accountId: string): Account | undefined {
  return useQuery(AccountService.method.getAccount, { accountId }, { enabled: isUUID(accountId) }).data
    ?.account;
}

/** The fields of a payment. Errors of the server come before what helps to fill in the field. */
export function PayFields({
  payment,
  checked,
  errors,
  submitted,
  onChange,
}: {
  payment: Payment;
  checked: CheckedPayment;
  /** What the server says of the fields, by their names in the API. */
  errors: Record<string, string>;
  /** Whether somebody tried: only then is what is missing an error. */
  submitted: boolean;
  onChange: (patch: Partial<Payment>) => void;
}) {
  const { payer, payee, currency, amount, problem } = checked;
  const missing = (value: string) => (submitted && value === "" ? "Choose an account." : undefined);
  const typed = payment.amount.trim() !== "" || submitted;
  return (
    <>
      <div className={styles.sides}>
        <AccountField
          label="From"
          value={payment.from}
          error={errors.from_account_id ?? missing(payment.from)}
          hint={payer && <Has account={payer} />}
          onChange={(from) => onChange({ from })}
        />
        <div className={styles.swap}>
          <Button
            kind="quiet"
            icon="transfers"
            aria-label="Swap the two accounts"
            onClick={() => onChange({ from: payment.to, to: payment.from })}
          />
        </div>
        <AccountField
          label="To"
          value={payment.to}
          error={errors.to_account_id ?? problem ?? missing(payment.to)}
          hint={payee && <Has account={payee} />}
          onChange={(to) => onChange({ to })}
        />
      </div>
      <FieldRow>
        <TextField
          label="Amount"
          numeric
          placeholder="0"
          suffix={currency || undefined}
          error={errors.amount ?? (typed && !amount.ok ? amount.message : undefined)}
          hint={amount.ok ? formatAmount(amount.value, currency ? { currency } : {}) : undefined}
          value={payment.amount}
          onChange={(text) => onChange({ amount: text })}
        />
      </FieldRow>
    </>
  );
}

/** What an account has, and whether money can move. */
function Has({ account }: { account: Account }) {
  const { available, held, currency, status } = account;
  return (
    <span className="num">
      {/[1-9]/.test(held)
        ? `${formatAmount(available, { currency })} available, ${formatAmount(held, { currency })} held`
        : `${formatAmount(available, { currency })} available`}
      {status === Account_Status.FROZEN && " · frozen"}
      {status === Account_Status.CLOSED && " · closed"}
      <span className="sr-only"> on {accountName(account)}</span>
    </span>
  );
}
