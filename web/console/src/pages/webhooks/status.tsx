import {
  type WebhookDelivery,
  WebhookDelivery_Status,
  type WebhookEndpoint,
  WebhookEndpoint_Status,
} from "internaltransfers-client";
import { Badge } from "../../ui";

/** Whether events are delivered, and whether that works. */
export function EndpointBadge({ endpoint: e }: { endpoint: WebhookEndpoint }) {
  switch (e.status) {
    case WebhookEndpoint_Status.DISABLED:
      return (
        <Badge tone="neutral" icon="pause">
          Disabled
        </Badge>
      );
    case WebhookEndpoint_Status.DELETED:
      return <Badge tone="neutral">Deleted</Badge>;
    default:
      if (e.deadCount > 0n) return <Badge tone="bad">Has dead deliveries</Badge>;
      if (e.pendingCount > 0n) return <Badge tone="warn">Retrying</Badge>;
      return <Badge tone="good">Enabled</Badge>;
  }
}

/** Where a delivery is in its life. */
export function DeliveryBadge({ delivery: d }: { delivery: WebhookDelivery }) {
  switch (d.status) {
    case WebhookDelivery_Status.PENDING:
      return <Badge tone="warn">Pending</Badge>;
    case WebhookDelivery_Status.DELIVERED:
      return <Badge tone="good">Delivered later</Badge>;
    case WebhookDelivery_Status.DEAD:
      return <Badge tone="bad">Dead</Badge>;
    default:
      return <Badge tone="neutral">Unknown</Badge>;
  }
}
