import { z } from "zod";
import { RESPONSE_STATUSES } from "../../../model/response.ts";

/** Query strings and paths. A key that comes twice is refused, an unknown one (`_=1700000000000`) ignored. */

const anyInteger = z
  .string()
  .regex(/^-?\d{1,15}$/, "invalid digit found in string")
  .transform(Number);
const natural = z
  .string()
  .regex(/^\d{1,15}$/, "invalid digit found in string")
  .transform(Number);
const text = z.string().max(1000);

export const AgentPath = z.object({ name: z.string() });
export const ResponsePath = z.object({ name: z.string(), id: z.string() });
export const FilePath = z.object({ name: z.string(), "*": z.string() });

export const AgentListQuery = z.object({
  q: text.optional(),
  tags: text.optional(),
  state: text.optional(),
  limit: anyInteger.optional(),
  page: anyInteger.optional(),
  offset: anyInteger.optional(),
});
export type AgentListQuery = z.infer<typeof AgentListQuery>;

export const PublishedQuery = z.object({ limit: natural.optional(), offset: natural.optional() });
export type PublishedQuery = z.infer<typeof PublishedQuery>;

export const ResponseListQuery = z.object({
  limit: natural.optional(),
  offset: natural.optional(),
  order: z.enum(["asc", "desc"]).optional(),
  status: z.enum(RESPONSE_STATUSES).optional(),
});
export type ResponseListQuery = z.infer<typeof ResponseListQuery>;

export const ResponseCountQuery = z.object({ status: z.enum(RESPONSE_STATUSES).optional() });

/** `wait`: seconds, taken up to 60. */
export const WaitQuery = z.object({
  wait: z
    .string()
    .regex(/^\d{1,6}(?:\.\d{1,3})?$/, "invalid number of seconds")
    .transform(Number)
    .optional(),
});

export const EventsQuery = z.object({ last_event_id: text.optional() });

export const FileListQuery = z.object({ offset: natural.optional(), limit: natural.optional() });
export type FileListQuery = z.infer<typeof FileListQuery>;
