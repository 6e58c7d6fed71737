// panva's oidc-provider as the tests run it: an OpenID Provider that nobody here wrote.
//
// Started with one argument, a JSON object: { listen, issuer?, clients: [{ id, secret, alg? }], redirect_uris, post_logout_redirect_uris,
// people: { sub: claims }, claims_in_id_token?, no_logout? }. Says `{"event":"ready","issuer":…}` once it answers, then one JSON line for each
// grant, refusal and end of session. Keys are made at the start: started again, it is a provider that has rotated them.

import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { createServer } from 'node:http';

const require = createRequire(new URL('../../target/lab/package.json', import.meta.url));
const { Provider } = require('oidc-provider');
const asked = JSON.parse(process.argv[2]);
const tell = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }));

const jwk = (kind, options, more) => ({ ...generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }), use: 'sig', ...more });
const generation = Date.now().toString(36);
const keys = [
  jwk('rsa', { modulusLength: 2048 }, { kid: `rsa-${generation}` }),
  jwk('ec', { namedCurve: 'P-256' }, { kid: `ec-${generation}`, alg: 'ES256' }),
  jwk('ed25519', {}, { kid: `ed-${generation}` }),
];

const server = createServer();
await new Promise((up) => server.listen(asked.listen ?? 0, '127.0.0.1', up));
const issuer = asked.issuer ?? `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  jwks: { keys },
  cookies: { keys: ['test only'] },
  clients: asked.clients.map(({ id, secret, alg }) => ({
    client_id: id,
    client_secret: secret,
    id_token_signed_response_alg: alg ?? 'RS256',
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: asked.redirect_uris,
    post_logout_redirect_uris: asked.post_logout_redirect_uris,
  })),
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  scopes: ['openid', 'profile', 'email', 'groups'],
  claims: {
    openid: ['sub'],
    profile: ['name', 'given_name', 'family_name', 'preferred_username'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
  },
  // As the standard has it, claims of a scope come from userinfo and the ID token has `sub` alone.
  conformIdTokenClaims: !asked.claims_in_id_token,
  findAccount: (_context, sub) => asked.people[sub] && { accountId: sub, claims: () => ({ sub, ...asked.people[sub] }) },
  // The gateway is the company's own: nobody is asked whether they consent.
  loadExistingGrant: async (context) => {
    const { client, session, provider: op, params } = context.oidc;
    const known = session.grantIdFor(client.clientId);
    if (known) return op.Grant.find(known);
    const grant = new op.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope);
    await grant.save();
    return grant;
  },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: !asked.no_logout } },
});

provider.on('authorization.success', (context) => tell('authorized', { query: context.oidc.params }));
provider.on('authorization.error', (_context, error) => tell('refused', { error: error.error, detail: error.error_description }));
provider.on('grant.success', (context) => tell('granted', { sub: context.oidc.account?.accountId, client: context.oidc.client.clientId }));
provider.on('grant.error', (_context, error) => tell('grant refused', { error: error.error, detail: error.error_description }));
provider.on('end_session.success', () => tell('signed out'));
provider.on('server_error', (_context, error) => tell('broken', { error: String(error.stack) }));

// Whom the relying party says it signs out, once its hint has been verified.
provider.use(async (context, next) => {
  await next();
  const { route, entities } = context.oidc ?? {};
  if (route === 'end_session') tell('asked to sign out', { hint: entities.IdTokenHint?.payload.sub ?? null });
});

server.on('request', provider.callback());
tell('ready', { issuer });
