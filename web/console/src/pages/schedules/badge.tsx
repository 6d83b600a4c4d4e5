import { Schedule_Status } from "internaltransfers-client";
import { Badge } from "../../ui";
import { statusWords } from "./words";

/** The status of a schedule. */
export function ScheduleBadge({ status }: { status: Schedule_Status }) {
  const [tone, text] = statusWords[status] ?? statusWords[0];
  return (
    <Badge tone={tone} {...(status === Schedule_Status.PAUSED ? { icon: "pause" as const } : {})}>
      {text}
    </Badge>
  );
}
