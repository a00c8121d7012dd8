// The life of an app through Okta's own client: made, found, changed, its secrets and keys rotated, deleted.
// How to log in comes as JSON on standard input, the CA by NODE_EXTRA_CA_CERTS. Prints what the client saw.
import { readFileSync } from 'node:fs';
import okta from '@okta/okta-sdk-nodejs';

const { login, label, secret, next, keys } = JSON.parse(readFileSync(0, 'utf8'));
const client = new okta.Client(login);
const apps = client.applicationApi;
const credentials = client.applicationSSOPublicKeysApi;
const seen = {};
// The status and code of the error that a call must end with.
const refused = async (call) => {
  try {
    await call();
  } catch (error) {
    return `${error.status} ${error.errorCode}`;
  }
  throw new Error(`not refused: ${call}`);
};
const all = async (collection) => {
  const found = [];
  await collection.each((one) => found.push(one));
  return found;
};

const oauthClient = { application_type: 'service', grant_types: ['client_credentials'], response_types: ['token'] };
const body = {
  name: 'oidc_client', label, signOnMode: 'OPENID_CONNECT', profile: { owner: 'cluster/team/shop' },
  credentials: { oauthClient: { client_id: `client-${label}`, client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' } },
  settings: { oauthClient },
};
const app = await apps.createApplication({ application: body });
const appId = app.id;
seen.created = { status: app.status, clientId: app.credentials.oauthClient.client_id, owner: app.profile.owner };
seen.twin = await refused(() => apps.createApplication({ application: body }));
seen.found = (await all(await apps.listApplications({ q: label, includeNonDeleted: true, limit: 1 }))).map((one) => one.label);
const read = await apps.getApplication({ appId });
read.label = `${label} changed`;
seen.replaced = (await apps.replaceApplication({ appId, application: read })).label;

const secrets = async () => (await all(await credentials.listOAuth2ClientSecrets({ appId })));
const [first] = await secrets();
seen.first = first.client_secret === secret;
const oAuth2ClientSecretRequestBody = { client_secret: next };
const second = await credentials.createOAuth2ClientSecret({ appId, oAuth2ClientSecretRequestBody });
seen.two = (await secrets()).map((one) => one.status);
seen.third = await refused(() => credentials.createOAuth2ClientSecret({ appId, oAuth2ClientSecretRequestBody: {} }));
seen.active = await refused(() => credentials.deleteOAuth2ClientSecret({ appId, secretId: first.id }));
seen.deactivated = (await credentials.deactivateOAuth2ClientSecret({ appId, secretId: first.id })).status;
seen.last = await refused(() => credentials.deactivateOAuth2ClientSecret({ appId, secretId: second.id }));
seen.activated = (await credentials.activateOAuth2ClientSecret({ appId, secretId: first.id })).status;
await credentials.deactivateOAuth2ClientSecret({ appId, secretId: first.id });
await credentials.deleteOAuth2ClientSecret({ appId, secretId: first.id });
seen.one = (await credentials.getOAuth2ClientSecret({ appId, secretId: second.id })).client_secret === next;

const byKey = await apps.getApplication({ appId });
byKey.credentials.oauthClient.token_endpoint_auth_method = 'private_key_jwt';
byKey.settings.oauthClient.jwks = { keys: [keys[0]] };
await apps.replaceApplication({ appId, application: byKey });
const added = await credentials.addJwk({ appId, addJwkRequest: keys[1] });
const listed = (await credentials.listJwk({ appId })).keys;
seen.keys = listed.map((one) => one.status);
const old = listed.find((one) => one.id !== added.id).id;
await credentials.deactivateOAuth2ClientJsonWebKey({ appId, keyId: old });
await credentials.deletejwk({ appId, keyId: old });

const servers = client.authorizationServerApi;
seen.scopes = (await all(await servers.listOAuth2Scopes({ authServerId: 'default' }))).map((one) => one.name);
const [policy] = await all(await servers.listAuthorizationServerPolicies({ authServerId: 'default' }));
const rules = await all(await servers.listAuthorizationServerPolicyRules({ authServerId: 'default', policyId: policy.id }));
seen.minutes = rules[0].actions.token.accessTokenLifetimeMinutes;

seen.early = await refused(() => apps.deleteApplication({ appId }));
await apps.deactivateApplication({ appId });
await apps.deleteApplication({ appId });
seen.gone = await refused(() => apps.getApplication({ appId }));
console.log(JSON.stringify(seen));
