import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type ConnectTransportOptions, createConnectTransport } from "@connectrpc/connect-web";
import { AccessService } from "./gen/transfers/v1/access_pb.js";
import { AccountService } from "./gen/transfers/v1/account_service_pb.js";
import { LedgerService } from "./gen/transfers/v1/ledger_pb.js";
import { ScheduleService } from "./gen/transfers/v1/schedule_pb.js";
import { TransferService } from "./gen/transfers/v1/transfer_pb.js";
import { WebhookService } from "./gen/transfers/v1/webhook_pb.js";

/** A client of each service of the ledger. */
export interface Clients {
  accounts: Client<typeof AccountService>;
  transfers: Client<typeof TransferService>;
  schedules: Client<typeof ScheduleService>;
  ledger: Client<typeof LedgerService>;
  webhooks: Client<typeof WebhookService>;
  access: Client<typeof AccessService>;
}

/** Options of createClients: those of createConnectTransport but the address. */
export type ClientOptions = Omit<ConnectTransportOptions, "baseUrl">;

/**
 * Makes clients that speak Connect over fetch, in browsers and in Node.
 *
 * @param baseUrl where the server is, such as `http://localhost:9091`
 */
export function createClients(baseUrl: string, options: ClientOptions = {}): Clients {
  return createClientsOn(createConnectTransport({ ...options, baseUrl }));
}

/** Makes clients on a transport of one's own, such as one for gRPC. */
export function createClientsOn(transport: Transport): Clients {
  return {
    accounts: createClient(AccountService, transport),
    transfers: createClient(TransferService, transport),
    schedules: createClient(ScheduleService, transport),
    ledger: createClient(LedgerService, transport),
    webhooks: createClient(WebhookService, transport),
    access: createClient(AccessService, transport),
  };
}
