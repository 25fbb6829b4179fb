import { errorCodes, type FastifyRequest, type onRequestHookHandler } from "fastify";

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;

const isEmpty = ({ headers }: FastifyRequest): boolean =>
  headers["transfer-encoding"] === undefined && (headers["content-length"] ?? "0") === "0";

/** Routes whose body may be left out: clients send a JSON Content-Type with no body at all. */
export const allowEmptyBody: onRequestHookHandler = (request, _reply, done) => {
  if (isEmpty(request)) delete request.headers["content-type"];
  done();
};

/** Routes that need a JSON body: what has no JSON Content-Type is 415, also without a body. */
export const requireJson: onRequestHookHandler = (request, _reply, done) => {
  const type = request.headers["content-type"];
  if (type !== undefined && JSON_TYPE.test(type)) done();
  else done(new errorCodes.FST_ERR_CTP_INVALID_MEDIA_TYPE(type));
};
