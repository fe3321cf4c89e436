// An OpenID provider for the tests: device flow, refresh tokens that are replaced at each use, introspection for Dovecot.
//   node idp.mjs PORT CERTIFICATE KEY
// Its device answers carry no "interval" and it never says slow_down; Glewlwyd beside it does both.
import Provider from 'oidc-provider';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';

const [port, certificate, key] = process.argv.slice(2);
const { CLIENT_ID, TENANT_ID, INTROSPECTION_SECRET } = process.env;
const resource = 'https://outlook.office.com';
const scopes = ['SMTP.Send', 'IMAP.AccessAsUser.All', 'POP.AccessAsUser.All'].map((name) => `${resource}/${name}`).join(' ');

// Any login name is let in, and is the account: the tests choose who signs in by what they type into the form.
function account(ctx, login) {
  const oid = createHash('md5').update(login).digest('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  const claims = { sub: login, preferred_username: login, name: login, tid: TENANT_ID, oid };
  return { accountId: login, claims: () => claims };
}

const provider = new Provider(`https://localhost:${port}`, {
  clients: [
    {
      client_id: CLIENT_ID, application_type: 'native', token_endpoint_auth_method: 'none',
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'], redirect_uris: [], response_types: [],
    },
    {
      client_id: 'dovecot', client_secret: INTROSPECTION_SECRET, token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    },
  ],
  features: {
    devInteractions: { enabled: true }, // the built-in login and consent forms
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    // By default a client may ask about its own tokens only; Dovecot asks about those of the connector.
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      // Opaque, because JWT access tokens cannot be introspected here.
      getResourceServerInfo: () => ({ scope: scopes, audience: resource, accessTokenFormat: 'opaque' }),
    },
  },
  scopes: ['openid', 'offline_access'],
  claims: { openid: ['sub', 'tid', 'oid'], profile: ['preferred_username', 'name'] },
  conformIdTokenClaims: false, // Microsoft puts the profile claims into the id token
  findAccount: account,
  issueRefreshToken: (ctx, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  rotateRefreshToken: true,
  cookies: { keys: ['of no value'] },
  ttl: { AccessToken: 3600, DeviceCode: 900, RefreshToken: 86400, Grant: 86400, Session: 3600, Interaction: 600 },
});

const tls = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
const server = https.createServer(tls, provider.callback());
// Node drops an idle connection after 5 s, and 5 s is also how often clients poll: now and then a poll would be sent into a
// connection that is being dropped.
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1');
