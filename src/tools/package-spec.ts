import { z } from "zod";

/*
 * What may be asked of pip and npm: a name with versions from the configured registry, or an https archive. Options,
 * paths, repositories, spaces and shell characters do not fit. A name that ends like an archive would be read as a file
 * by both.
 */

const ARCHIVE = /\.(?:whl|zip|tar|tgz|tbz|txz|tar\.(?:gz|bz2|xz|lzma))$/i;
const PIP_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?(?:\[[A-Za-z0-9._-]+(?:,[A-Za-z0-9._-]+)*\])?/;
const PIP_VERSION = /(?:===|==|~=|!=|<=|>=|<|>)[A-Za-z0-9][A-Za-z0-9.*+!_-]{0,63}/;
const PIP_SPEC = new RegExp(`${PIP_NAME.source}(?:${PIP_VERSION.source}(?:,${PIP_VERSION.source}){0,9})?$`);
const NPM_SPEC =
  /^(?:@[a-z0-9][a-z0-9._~-]{0,100}\/)?[a-z0-9][a-z0-9._~-]{0,100}(?:@(?:\^|~|[<>]?=?)?[A-Za-z0-9][A-Za-z0-9.*+-]{0,63})?$/;
/** Without user, query or other places for a secret. */
const HTTPS_ARCHIVE =
  /^https:\/\/[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{1,5})?\/[A-Za-z0-9._~/%+-]+(?:#sha256=[0-9a-f]{64})?$/;

export function isPipSpec(text: string): boolean {
  return text.length <= 300 && ((PIP_SPEC.test(text) && !ARCHIVE.test(text)) || HTTPS_ARCHIVE.test(text));
}

export function isNpmSpec(text: string): boolean {
  return text.length <= 300 && ((NPM_SPEC.test(text) && !ARCHIVE.test(text)) || HTTPS_ARCHIVE.test(text));
}

export const PACKAGE_RULE =
  "must be a package name, with versions if wanted (pip: pandas==3.1.1, npm: express@5), or an https URL of an archive";

export const packageSpec = z.string().min(1).max(300);
