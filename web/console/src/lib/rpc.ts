import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { QueryClient } from "@tanstack/react-query";
import { createClientsOn } from "internaltransfers-client";
import { serverAddress } from "./base";
import { connection } from "./connection";
import { isOffline, isTemporary } from "./errors";
import { session } from "./session";

/** Notes of every call whether the server answered, whatever it answered. */
const watchConnection: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    connection.answered();
    return response;
  } catch (error) {
    if (isOffline(error)) connection.lost();
    else if (ConnectError.from(error).code !== Code.Canceled) connection.answered();
    throw error;
  }
};

/**
 * Notes of every call whether the server knows the caller. Streams see to it themselves: one also ends when its key is
 * changed, and the next may begin.
 */
const watchSession: Interceptor = (next) => async (request) => {
  const { epoch } = session;
  try {
    return await next(request);
  } catch (error) {
    if (!request.stream) session.refused(error, epoch);
    throw error;
  }
};

/** The server that the page came from, over Connect in JSON, which anyone can read in the browser's tools. */
export const transport = createConnectTransport({
  baseUrl: serverAddress,
  interceptors: [watchConnection, watchSession],
});

/** Clients for calls that are not queries of a component: commands in event handlers, and streams. */
export const clients = createClientsOn(transport);

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      retry: (failures, error) => isTemporary(error) && !isOffline(error) && failures < 3,
    },
    mutations: { retry: false },
  },
});

session.onForget(() => queryClient.clear());

// What failed while the server was away is read again when it is back, and so is what may be old.
connection.onReturn(() => void queryClient.invalidateQueries());
