// An authorization server that registers clients as RFC 7591 and RFC 7592 say. Its options are JSON in TESTBED_OPTIONS;
// beside the protocol, GET /bed/clients lists its clients and DELETE /bed/clients/ID removes one behind their backs.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import Provider from 'oidc-provider';

const options = JSON.parse(process.env.TESTBED_OPTIONS);
const now = () => Math.floor(Date.now() / 1000);

// What a restart keeps: signing keys, clients and registration tokens, one file, written whole with every change.
const kept = ['Client', 'InitialAccessToken', 'RegistrationAccessToken'];
const state = existsSync(options.state) ? JSON.parse(readFileSync(options.state, 'utf8')) : {};
state.keys ??= [generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })];
function save() {
  const part = Object.fromEntries(['keys', ...kept].map((name) => [name, state[name]]));
  writeFileSync(`${options.state}.new`, JSON.stringify(part));
  renameSync(`${options.state}.new`, options.state);
}

class Store {
  constructor(model) {
    this.kept = kept.includes(model);
    state[model] ??= {};
    this.entries = state[model];
  }

  changed() {
    if (this.kept) save();
  }

  async upsert(id, payload, life) {
    this.entries[id] = { payload, ends: life ? now() + life : null };
    this.changed();
  }

  async find(id) {
    const entry = Object.hasOwn(this.entries, id) ? this.entries[id] : undefined;
    return entry && (entry.ends === null || entry.ends > now()) ? entry.payload : undefined;
  }

  async destroy(id) {
    delete this.entries[id];
    this.changed();
  }

  async consume(id) {
    this.entries[id].payload.consumed = now();
  }

  async findByUid() {}

  async findByUserCode() {}

  async revokeByGrantId() {}
}

const secret = () => randomBytes(32).toString('base64url');
const scope = options.scopes.join(' ');
const provider = new Provider(options.issuer, {
  adapter: Store,
  jwks: { keys: state.keys },
  clockTolerance: 0,
  cookies: { keys: [secret()] },
  scopes: options.scopes,
  clientDefaults: { grant_types: ['client_credentials'], response_types: [], redirect_uris: [] },
  extraClientMetadata: { properties: options.softwareId ? ['software_id', 'software_version'] : [] },
  ttl: { ClientCredentials: options.tokenLife },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    registration: {
      enabled: true,
      initialAccessToken: true,
      secretFactory: secret,
      policies: {
        // The library never lets a secret end, nor replaces one; other servers do both.
        secrets(ctx, client) {
          if (!client.client_secret) return;
          const fresh = ctx.method === 'POST';
          if (!fresh && options.newSecretOnUpdate) client.client_secret = secret();
          if (options.secretLife && (fresh || options.newSecretOnUpdate)) {
            client.client_secret_expires_at = now() + options.secretLife;
          }
        },
      },
    },
    registrationManagement: { enabled: options.management, rotateRegistrationAccessToken: options.rotateRegistrationToken },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (_, audience) => ({ scope, audience, accessTokenTTL: options.tokenLife, accessTokenFormat: 'jwt' }),
    },
  },
});

// Open registration is one with a token that the server itself puts in: policies come with an initial access token only.
const { InitialAccessToken } = provider;
const years = 10 * 365 * 24 * 3600;
await new InitialAccessToken({ jti: options.initialAccessToken, policies: ['secrets'] }).save(years);
const protocol = provider.callback();

function serve(request, response) {
  const [, bed, what, id] = request.url.split('/');
  if (bed === 'bed' && what === 'clients') {
    const clients = state.Client ?? {};
    if (request.method === 'DELETE') {
      delete clients[decodeURIComponent(id)];
      save();
    }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(Object.values(clients).map((entry) => entry.payload)));
    return;
  }
  if (request.method === 'POST' && request.url === '/reg' && options.openRegistration) {
    request.headers.authorization = `Bearer ${options.initialAccessToken}`;
  }
  protocol(request, response);
}

const tls = options.certificate && { cert: readFileSync(options.certificate), key: readFileSync(options.key) };
const server = tls ? https.createServer(tls, serve) : http.createServer(serve);
server.listen(options.port, '127.0.0.1', () => console.log(`serves ${options.issuer}`));
