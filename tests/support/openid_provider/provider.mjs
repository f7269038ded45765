// An OpenID provider as a company has one. What it knows is in a file that the tests write:
// where it listens, the clients, the accounts with their claims, and the longest life of a session.
// Every answered request is a line of its output.

import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createRequire } from "node:module";

const [, , installed, configuration] = process.argv;
// The packages are installed apart from this file, where import would look for them.
const { Provider } = createRequire(installed)("oidc-provider");
const { issuer, port, tls, certificate_authority, resource, scopes, clients, accounts } = JSON.parse(
  readFileSync(configuration, "utf8"),
);

const provider = new Provider(issuer, {
  clients,
  extraClientMetadata: { properties: ["session_lifetime"] },
  scopes: ["openid"],
  clientAuthMethods: [
    ...["client_secret_basic", "client_secret_post", "private_key_jwt"],
    ...["tls_client_auth", "none"],
  ],
  findAccount: (_, sub) =>
    sub in accounts ? { accountId: sub, claims: () => ({ sub }) } : undefined,
  // What the introspection tells about the account, besides what the provider itself knows.
  extraTokenClaims: (ctx, token) => ({
    ...accounts[token.accountId],
    auth_time: ctx.oidc.entities.AuthorizationCode?.authTime,
  }),
  features: {
    devInteractions: { enabled: true },
    // A client without authentication may ask about the tokens of others, too.
    introspection: { enabled: true, allowedPolicy: () => true },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      getCertificate: ({ req }) => req.socket.getPeerX509Certificate(),
      certificateAuthorized: ({ req }) => req.socket.authorized,
      certificateSubjectMatches: ({ req }, property, expected) =>
        property === "tls_client_auth_san_dns" &&
        req.socket.getPeerX509Certificate().subjectAltName === `DNS:${expected}`,
    },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, audience, client) => ({
        audience,
        scope: scopes.join(" "),
        accessTokenFormat: "opaque",
        accessTokenTTL: client.session_lifetime,
      }),
    },
  },
});

provider.use(async (ctx, next) => {
  await next();
  console.log(`${ctx.method} ${ctx.path} ${ctx.status}`);
});

const server = {
  cert: readFileSync(tls.certificate),
  key: readFileSync(tls.key),
  // Whoever has a certificate may show it.
  ca: readFileSync(certificate_authority),
  requestCert: true,
  rejectUnauthorized: false,
};
createServer(server, provider.callback()).listen(port, "127.0.0.1", () => console.log("listening"));
