// Gets a token with nothing but a Secret's entries (JSON on standard input, with the method to use) and validates it as RFC 9068 asks.
// The CA comes by NODE_EXTRA_CA_CERTS. Prints the claims.
import { readFileSync } from 'node:fs';
import * as oauth from 'oauth4webapi';
import { createRemoteJWKSet, importPKCS8, jwtVerify } from 'jose';

const { method, secret } = JSON.parse(readFileSync(0, 'utf8'));
const issuer = new URL(secret['issuer-uri']);
const client = { client_id: secret['client-id'] };

const found = [];
for (const algorithm of ['oauth2', 'oidc']) {
  found.push(await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm })));
}
const [server, openid] = found;
if (JSON.stringify(server) !== JSON.stringify(openid)) throw new Error('the two forms of discovery differ');

if (!server.token_endpoint_auth_methods_supported.includes(method)) throw new Error(`the metadata do not tell of ${method}`);
const privateKey = async () => {
  const [algorithm] = server.token_endpoint_auth_signing_alg_values_supported;
  const key = await importPKCS8(secret['private-key.pem'], algorithm);
  return oauth.PrivateKeyJwt({ key, kid: secret['key-id'] });
};
const methods = {
  client_secret_basic: () => oauth.ClientSecretBasic(secret['client-secret']),
  client_secret_post: () => oauth.ClientSecretPost(secret['client-secret']),
  private_key_jwt: privateKey,
};
const authentication = await methods[method]();
const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, new URLSearchParams());
const answer = await oauth.processClientCredentialsResponse(server, client, response);

const request = new Request('https://api.example/orders', { headers: { authorization: `Bearer ${answer.access_token}` } });
const claims = await oauth.validateJwtAccessToken(server, request, issuer.href);
const keys = createRemoteJWKSet(new URL(server.jwks_uri));
await jwtVerify(answer.access_token, keys, { issuer: issuer.href, audience: issuer.href, typ: 'at+jwt' });

if (server.introspection_endpoint) {
  const asked = await oauth.introspectionRequest(server, client, authentication, answer.access_token);
  const said = await oauth.processIntrospectionResponse(server, client, asked);
  if (!said.active) throw new Error('introspection says that the fresh token is not active');
  await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, authentication, answer.access_token));
  const again = await oauth.introspectionRequest(server, client, authentication, answer.access_token);
  const now = await oauth.processIntrospectionResponse(server, client, again);
  if (now.active) throw new Error('a revoked token is still active');
}
console.log(JSON.stringify(claims));
