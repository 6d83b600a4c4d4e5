import { createClients, events, newTransferId, refusal } from "internaltransfers-client";

const { accounts, transfers } = createClients("http://localhost:9091");

const { account: alice } = await accounts.createAccount({ displayName: "Alice", initialBalance: "100" });
const { account: bob } = await accounts.createAccount({ displayName: "Bob" });
const payment = { fromAccountId: alice?.accountId, toAccountId: bob?.accountId };

// The id is made once, before the first attempt: however often the call is repeated, the money moves once.
const transferId = newTransferId();
for (let attempt = 1; attempt <= 2; attempt++) {
  const { transfer } = await transfers.createTransfer({ ...payment, transferId, amount: "30.00" });
  console.log(`attempt ${attempt}: Alice has ${transfer?.fromBalance} ${transfer?.currency}`);
}

try {
  await transfers.createTransfer({ ...payment, transferId: newTransferId(), amount: "500" });
} catch (error) {
  const why = refusal(error);
  if (why?.reason !== "INSUFFICIENT_FUNDS") throw error; // the network, or an outage: repeat it with the same id
  console.log(`refused: ${why.message}`);
}

// All that happened to Bob's account, and then all that will, through every restart of the server.
for await (const event of events(accounts.watchAccount, { accountId: bob?.accountId, after: "0" })) {
  const outcome = event.transfer?.errorReason ? "refused" : "done";
  console.log(`event: ${event.transfer?.amount ?? "a new account"} ${outcome}`);
  if (outcome === "refused") break; // the example ends here; an application goes on
}
