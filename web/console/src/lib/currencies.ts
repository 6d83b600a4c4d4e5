import { useQuery } from "@connectrpc/connect-query";
import { type Currency, LedgerService } from "internaltransfers-client";

const none: Currency[] = [];

/** The ledger's currencies, by code; empty until they are read. They hardly ever change, so they are read once in a while. */
export function useCurrencies(): Currency[] {
  const query = useQuery(LedgerService.method.listCurrencies, { pageSize: 1000 }, { staleTime: 60_000 });
  return query.data?.currencies ?? none;
}
