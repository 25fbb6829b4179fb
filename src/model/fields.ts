import { z } from "zod";

/** Fields of schemas at the edge. */

export const intField = (min: number, max: number): z.ZodInt => z.int().min(min).max(max);

export const textField = (maxLength: number): z.ZodString => z.string().max(maxLength);

export const ENVIRONMENT_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
