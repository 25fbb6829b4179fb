import { PaddockError } from "../../errors/error.ts";

/** What tracing needs beside `@opentelemetry/api`; optional peers, for most installations trace nothing. */
export const OTLP_PACKAGES = [
  "@opentelemetry/sdk-trace",
  "@opentelemetry/resources",
  "@opentelemetry/exporter-trace-otlp-http",
] as const;

export interface OpenTelemetry {
  readonly sdk: typeof import("@opentelemetry/sdk-trace");
  readonly resources: typeof import("@opentelemetry/resources");
  readonly otlp: typeof import("@opentelemetry/exporter-trace-otlp-http");
}

/**
 * Loads the packages. Throws `invalid_config` naming the one that is missing and the command that brings all of them.
 */
export async function loadOpenTelemetry(): Promise<OpenTelemetry> {
  const [sdk, resources, otlp] = OTLP_PACKAGES;
  return {
    sdk: await load(sdk, () => import("@opentelemetry/sdk-trace")),
    resources: await load(resources, () => import("@opentelemetry/resources")),
    otlp: await load(otlp, () => import("@opentelemetry/exporter-trace-otlp-http")),
  };
}

async function load<Module>(name: string, importIt: () => Promise<Module>): Promise<Module> {
  try {
    return await importIt();
  } catch (cause) {
    throw new PaddockError("invalid_config", `an OTLP endpoint is set, but the package ${name} cannot be loaded`, {
      hint: `Install it with \`npm install ${OTLP_PACKAGES.join(" ")}\`, or unset OTEL_EXPORTER_OTLP_ENDPOINT.`,
      cause,
    });
  }
}
