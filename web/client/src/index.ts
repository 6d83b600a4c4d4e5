// The ledger's API as generated from its proto files, and the clients to call it with.
export * from "./clients.js";
export * from "./events.js";
export * from "./follow.js";
export * from "./gen/google/rpc/error_details_pb.js";
export * from "./gen/google/rpc/status_pb.js";
export * from "./gen/transfers/v1/access_pb.js";
export * from "./gen/transfers/v1/account_pb.js";
export * from "./gen/transfers/v1/account_service_pb.js";
export * from "./gen/transfers/v1/event_pb.js";
export * from "./gen/transfers/v1/ledger_pb.js";
export * from "./gen/transfers/v1/schedule_pb.js";
export * from "./gen/transfers/v1/transfer_pb.js";
export * from "./gen/transfers/v1/webhook_pb.js";
export * from "./id.js";
export * from "./refusal.js";
