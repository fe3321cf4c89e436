/*
 * MyQ Exchange Online: connects a print server to Microsoft Exchange Online.
 *
 * The tour. Every function gives a status; 0 is good, negative is a failure, positive is "not a failure, look closer".
 * The last parameter takes an error object that says in one sentence what happened and what to do; NULL if you do not
 * care; each call overwrites it, so free it after a failure before you use it again. What the library hands out, the
 * library frees. Handles are checked: a stale one is an error, not a crash. A child that was forked while the library
 * was open gets MXO_E_FORKED from everything, without an error object.
 *
 *     mxo_connector *connector = NULL;
 *     mxo_operation *sign_in = NULL;
 *     mxo_device_code *code = NULL;
 *     mxo_mail *mail = NULL;
 *     mxo_error *error = NULL;
 *     char *system = NULL;
 *
 *     mxo_connector_open("{\"data_directory\": \"/var/lib/printserver/exchange\"}", &connector, &error);
 *     mxo_system_add(connector, "Microsoft Exchange Online", client_id, tenant_id, NULL, &system, &error);
 *
 *     mxo_sign_in_start(connector, system, NULL, NULL, NULL, NULL, &sign_in, &error);
 *     if (mxo_sign_in_code(connector, system, NULL, 30000, &code, &error) == MXO_OK)
 *         printf("open %s and type %s\n", mxo_device_code_verification_uri(code), mxo_device_code_user_code(code));
 *     if (mxo_operation_wait(sign_in, MXO_FOREVER, NULL, &error) != MXO_OK)
 *         printf("%s\n", mxo_error_message(error));
 *
 *     mxo_mail_new(&mail, &error);
 *     mxo_mail_add_recipient(mail, MXO_TO, "alice@contoso.com", "Alice", &error);
 *     mxo_mail_set_subject(mail, "Your scan", &error);
 *     mxo_mail_attach_file(mail, "/tmp/scan.pdf", NULL, "application/pdf", &error);
 *     mxo_send(connector, system, mail, 60000, NULL, &error);
 *
 *     mxo_mail_free(mail); mxo_device_code_free(code); mxo_operation_free(sign_in); mxo_string_free(system);
 *     mxo_error_free(error); mxo_connector_close(connector);
 *
 * A real host looks at each status; README.md has one that does. Texts are UTF-8 and end with NUL.
 */


#ifndef MYQ_EXCHANGE_ONLINE_H
#define MYQ_EXCHANGE_ONLINE_H


#include <stddef.h>
#include <stdint.h>


/**
 * The major number of the ABI: it changes when something that a host uses is altered or taken away.
 */
#define MXO_ABI_MAJOR 1

/**
 * The minor number of the ABI: it grows with each addition.
 */
#define MXO_ABI_MINOR 1

/**
 * mxo_connector_set_logger: no lines.
 */
#define MXO_LOG_OFF 0

/**
 * mxo_connector_set_logger: something failed and somebody should look.
 */
#define MXO_LOG_ERROR 1

/**
 * mxo_connector_set_logger: something is not as it should be.
 */
#define MXO_LOG_WARNING 2

/**
 * mxo_connector_set_logger: milestones.
 */
#define MXO_LOG_INFO 3

/**
 * mxo_connector_set_logger: one line for each exchange on the network.
 */
#define MXO_LOG_DEBUG 4

/**
 * mxo_mail_add_recipient: To.
 */
#define MXO_TO 0

/**
 * mxo_mail_add_recipient: Cc.
 */
#define MXO_CC 1

/**
 * mxo_mail_add_recipient: Bcc: receives the mail, and no other recipient learns of it.
 */
#define MXO_BCC 2

/**
 * mxo_mail_add_recipient: Reply-To: where answers go; receives nothing.
 */
#define MXO_REPLY_TO 3

/**
 * A time-out in milliseconds that never runs out.
 */
#define MXO_FOREVER 0xffffffffu

/**
 * mxo_value_kind: there is nothing at the path.
 */
#define MXO_KIND_ABSENT 0

/**
 * mxo_value_kind: null.
 */
#define MXO_KIND_NULL 1

/**
 * mxo_value_kind: true or false.
 */
#define MXO_KIND_BOOLEAN 2

/**
 * mxo_value_kind: a whole number.
 */
#define MXO_KIND_INTEGER 3

/**
 * mxo_value_kind: a text.
 */
#define MXO_KIND_STRING 4

/**
 * mxo_value_kind: a list.
 */
#define MXO_KIND_ARRAY 5

/**
 * mxo_value_kind: an object.
 */
#define MXO_KIND_OBJECT 6

/**
 * A connector: what a host opens once and keeps open for months. Any of its functions may be called from any thread
 * at the same time.
 */
typedef struct mxo_connector mxo_connector;

/**
 * The code and link of a sign-in. Belongs to the caller: free it with mxo_device_code_free; its texts live until
 * then. Any thread may read it; nothing here blocks.
 */
typedef struct mxo_device_code mxo_device_code;

/**
 * Why a call failed, in words for an administrator. Belongs to the caller: free it with mxo_error_free. Every getter
 * may be called from any thread; the texts live until the error is freed.
 */
typedef struct mxo_error mxo_error;

/**
 * A subscription to events. Each has a queue of its own, so that two readers do not steal from each other.
 */
typedef struct mxo_events mxo_events;

/**
 * A mail being written. It may be sent more than once: its Message-ID stays, so that a receiver can tell a repetition;
 * mxo_mail_clone gives a new one. Any thread may use it at any time.
 */
typedef struct mxo_mail mxo_mail;

/**
 * Long work that was started: wait for it, cancel it, or let it go. Completions come as events too.
 */
typedef struct mxo_operation mxo_operation;

/**
 * What a call reports: an immutable tree, read by path (JSON Pointer, RFC 6901: "/recipients/0/reply"; "" is the root)
 * or whole as JSON. Belongs to the caller, unless it was lent to a callback: free it with mxo_value_free. Its texts
 * live until then. Any thread may read it at any time; nothing here blocks.
 */
typedef struct mxo_value mxo_value;

/**
 * How a call ended: 0 done, negative failed, positive "not a failure" (`MXO_PENDING`, `MXO_TIMEOUT` and `MXO_END`
 * without a result, `MXO_PARTIAL` with one). The hundreds group the failures: 1xx use of the library, 2xx sign-in,
 * 3xx network, 4xx mail protocols, 5xx store and files, 9xx internal. New ones may come; a number never changes.
 */
typedef int32_t mxo_status;

/**
 * Is given each line of the log of a connector: UTF-8, without a line feed at its end, borrowed for the call.
 * Called on the library's threads, by one at a time, never re-entered. Levels are the MXO_LOG_ constants.
 */
typedef void (*mxo_log_fn)(void *user_data, int32_t level, const char *message);

/**
 * Releases what `user_data` points to. Runs exactly once, after the last call of the function it belongs to, on any
 * thread; also when the function that took it failed.
 */
typedef void (*mxo_drop_fn)(void *user_data);

/**
 * Is told of each change of an operation, and last of its end.
 *
 * Called on the library's threads, one call at a time for one operation, in order, with no lock held; it may run
 * before the function that started the operation has returned. It may call any function of this library except a wait
 * for its own operation (MXO_E_WOULD_DEADLOCK). It must not throw, and must not be given to PHP, which cannot be
 * called from a foreign thread: there everything is pulled instead.
 *
 * `operation` and `change` are borrowed for the call: free neither. For a sign-in `change` is what
 * mxo_sign_in_state tells (with "/state" and, at "code_waiting", "/code/user_code" and
 * "/code/verification_uri"); for other operations it comes at the end, with "/status" and "/operation_id", and for a
 * check after each step before, as mxo_check_start says.
 */
typedef void (*mxo_operation_fn)(void *user_data, mxo_operation *operation, const mxo_value *change);

/**
 * Done.
 */
#define MXO_OK 0

/**
 * Not ended yet: the status of a sign-in or an operation that still runs.
 */
#define MXO_PENDING 1

/**
 * A wait ran out of time; the work goes on.
 */
#define MXO_TIMEOUT 2

/**
 * Nothing will ever come any more: the event queue is drained and its connector closed.
 */
#define MXO_END 3

/**
 * Done in part: the mail was accepted, but not for every recipient.
 */
#define MXO_PARTIAL 4

/**
 * A parameter is not what it must be; the message names it and its field.
 */
#define MXO_E_ARGUMENT -100

/**
 * A handle is NULL, stale, freed already, or of another kind.
 */
#define MXO_E_HANDLE -101

/**
 * The connector was closed.
 */
#define MXO_E_CLOSED -102

/**
 * This process was forked from one that had the library open; it must load it anew (exec).
 */
#define MXO_E_FORKED -103

/**
 * A callback would have waited for itself.
 */
#define MXO_E_WOULD_DEADLOCK -104

/**
 * No system, sign-in, mail or job of that identifier.
 */
#define MXO_E_NOT_FOUND -105

/**
 * The host cancelled the work, or something newer took its place.
 */
#define MXO_E_CANCELED -106

/**
 * No result in the time that the caller gave.
 */
#define MXO_E_TIMEOUT -107

/**
 * A limit of this library was reached.
 */
#define MXO_E_LIMIT -108

/**
 * The job was settled before, and otherwise.
 */
#define MXO_E_SETTLED -109

/**
 * Another process took the job over.
 */
#define MXO_E_LEASE_LOST -110

/**
 * Somebody must sign in (again).
 */
#define MXO_E_SIGN_IN_REQUIRED -200

/**
 * The person declined.
 */
#define MXO_E_SIGN_IN_DECLINED -201

/**
 * The code was not used in time.
 */
#define MXO_E_SIGN_IN_EXPIRED -202

/**
 * The client ID is not known in the tenant.
 */
#define MXO_E_APP_NOT_FOUND -203

/**
 * The tenant ID is not known in this cloud.
 */
#define MXO_E_TENANT_NOT_FOUND -204

/**
 * The registration does not allow public client flows.
 */
#define MXO_E_PUBLIC_CLIENT_OFF -205

/**
 * The app registration is wrong in another way.
 */
#define MXO_E_APP_SETUP -206

/**
 * The tenant is not set up for this: licence, service principal, assignment.
 */
#define MXO_E_TENANT_SETUP -207

/**
 * Consent to the permissions is missing.
 */
#define MXO_E_CONSENT -208

/**
 * A policy of the tenant (Conditional Access, security defaults) forbids it.
 */
#define MXO_E_POLICY -209

/**
 * The account cannot be used: disabled, locked, of another organisation.
 */
#define MXO_E_ACCOUNT -210

/**
 * Another account signed in than the one meant.
 */
#define MXO_E_WRONG_ACCOUNT -211

/**
 * The sign-in granted less than the system needs.
 */
#define MXO_E_PERMISSION_MISSING -212

/**
 * The identity service is busy or throttles; the same request works later.
 */
#define MXO_E_IDENTITY_BUSY -213

/**
 * The identity service refused for a reason that this library does not know better.
 */
#define MXO_E_IDENTITY_REFUSED -214

/**
 * An administrator switched the system off.
 */
#define MXO_E_DISABLED -215

/**
 * No connection, or it broke.
 */
#define MXO_E_NETWORK -300

/**
 * A host name could not be resolved.
 */
#define MXO_E_NAME_RESOLUTION -301

/**
 * TLS could not be set up.
 */
#define MXO_E_TLS -302

/**
 * The server's certificate is not trusted.
 */
#define MXO_E_CERTIFICATE -303

/**
 * The proxy refused, or wants authentication.
 */
#define MXO_E_PROXY -304

/**
 * A server answered something that the protocol does not allow.
 */
#define MXO_E_PROTOCOL -400

/**
 * The mail server does not offer STARTTLS.
 */
#define MXO_E_STARTTLS_MISSING -401

/**
 * The mail server refused the login.
 */
#define MXO_E_LOGIN_REFUSED -402

/**
 * SMTP AUTH is off for the tenant or the mailbox.
 */
#define MXO_E_SMTP_AUTH_OFF -403

/**
 * A policy of the tenant blocks the login to the mail server.
 */
#define MXO_E_LOGIN_BLOCKED -404

/**
 * The mailbox may not send with this sender address.
 */
#define MXO_E_SENDER_REFUSED -405

/**
 * Every recipient was refused.
 */
#define MXO_E_RECIPIENTS_REFUSED -406

/**
 * The server refused the message itself.
 */
#define MXO_E_MESSAGE_REFUSED -407

/**
 * The message is bigger than the server takes.
 */
#define MXO_E_MESSAGE_TOO_BIG -408

/**
 * The mail server is busy or throttles; the same request works later.
 */
#define MXO_E_MAIL_BUSY -409

/**
 * A daily limit or the mailbox's quota is used up.
 */
#define MXO_E_QUOTA -410

/**
 * The service blocked the account from sending.
 */
#define MXO_E_SENDER_BLOCKED -411

/**
 * The connection broke after the whole mail was handed over: it may have been sent, or not.
 */
#define MXO_E_SEND_UNKNOWN -412

/**
 * The login worked, but the mailbox cannot be opened.
 */
#define MXO_E_MAILBOX -413

/**
 * The store failed.
 */
#define MXO_E_STORE -500

/**
 * Other processes kept the store busy for too long.
 */
#define MXO_E_STORE_BUSY -501

/**
 * The store was written by a newer version of this library.
 */
#define MXO_E_STORE_VERSION -502

/**
 * The store's file is damaged.
 */
#define MXO_E_STORE_DAMAGED -503

/**
 * The data directory cannot be used by this process, or others can read it.
 */
#define MXO_E_STORE_ACCESS -504

/**
 * The store's key is missing or does not open it.
 */
#define MXO_E_STORE_KEY -505

/**
 * The disk is full.
 */
#define MXO_E_DISK_FULL -506

/**
 * A file could not be read, or changed while it was sent.
 */
#define MXO_E_FILE -507

/**
 * A fault of this library; the log has more.
 */
#define MXO_E_INTERNAL -900

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the ABI: major << 16 | minor. A binding asks for it first, wants its own major and at least its own
 * minor, and refuses politely otherwise: the high halves must be equal, and the whole number at least that of the
 * header. Any thread; does not block.
 *
 * @return MXO_ABI_MAJOR << 16 | MXO_ABI_MINOR of the library that is loaded.
 */
uint32_t mxo_abi_version(void);

/**
 * The version of the library, as "1.2.3". Lives as long as the process. Any thread; does not block.
 */
const char *mxo_version(void);

/**
 * The name of a status, as "MXO_E_ARGUMENT"; NULL for a number that this version does not know. Lives as long as the
 * process. Any thread; does not block.
 *
 * @param value  A status.
 */
const char *mxo_status_name(mxo_status value);

/**
 * Describes the external system, so that a host can draw its "Add" dialog and its pop-up: "/kind", "/display_name",
 * "/fields" (name, label, required, pattern, help), "/settings", "/serves", "/sign_in", "/permissions" (name, GUID,
 * purpose), "/set_up" (the steps in the Entra admin center). Any thread; does not block.
 *
 * @param descriptor  Receives the description; free it with mxo_value_free.
 * @param error       Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED.
 */
mxo_status mxo_descriptor(mxo_value **descriptor, mxo_error **error);

/**
 * Explains what a person pastes: an AADSTS number, the text of an error page, an SMTP reply. The value has "/kind"
 * ("aadsts" or "smtp"), "/status" and "/name" (what this library would report), "/message", "/remedy",
 * "/transient"; of an AADSTS number also "/class", what kind of trouble it is ("app_setup", "consent", "policy",
 * "sign_in_again", "wait" …). Any thread; does not block.
 *
 * @param text         The text, UTF-8, at most 256 KiB.
 * @param explanation  Receives the explanation; free it with mxo_value_free.
 * @param error        Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_NOT_FOUND when nothing in the text is known; MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED.
 */
mxo_status mxo_explain(const char *text, mxo_value **explanation, mxo_error **error);

/**
 * Frees a text that this library gave through a `char **`, and wipes it first.
 *
 * Any thread; does not block.
 *
 * @param text  The text. May be NULL: then nothing is done.
 */
void mxo_string_free(char *text);

/**
 * Opens a connector. The library's threads start with the first one.
 *
 * With a "data_directory" systems and tokens last, and are shared by all processes that open it at the same time; the
 * tokens are sealed. So are sign-ins: one process begins one, others follow it, see it through or cancel it. Without
 * one everything is kept in the memory of this connector and ends with it.
 *
 * Two that are opened in one process with the same "data_directory" share everything but loggers, events and
 * operations; their other options must be equal. Any thread; does not touch the network; waits for other processes
 * that open the same directory, 10 seconds at most.
 *
 * @param options_json  Options as a JSON object (docs/schema/connector-options.schema.json). May be NULL: defaults.
 *                      "data_directory" (absolute path, on a local disk; made with access for its owner only, and
 *                      refused if others can use it), "share_with_group" (true: its group may use it too), "key" (what
 *                      seals the tokens, base64 of 32 octets; without it a key file in the directory),
 *                      "run_sign_ins" (true: this connector sees the sign-ins of all processes through to their ends,
 *                      also those of processes that are gone), "run_refresh" (true: it refreshes the tokens of all
 *                      systems ahead of their expiry; weekly every connector does), "tls_roots"
 *                      ("platform" or "file"), "ca_file" (a PEM file with authorities to trust beside), "proxy"
 *                      ("system", "none" or http://user:password@host:port; for sign-in and mail), "bind_address" (the
 *                      IP address from which connections begin), "ip_family" ("any", "ipv4" or "ipv6"), "timeouts" (an
 *                      object of seconds: "resolve_s", "connect_s", "tls_s", "http_s", "smtp_command_s", "smtp_auth_s",
 *                      "smtp_body_block_s", "smtp_final_dot_s"), "client_name" (the DNS name that this server gives
 *                      itself in EHLO). An unknown option is MXO_E_ARGUMENT and named. With "system" the environment's
 *                      proxy is read now, and not again.
 * @param connector     Receives the connector; close it with mxo_connector_close.
 * @param error         Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED; of the store: MXO_E_STORE_ACCESS: others can use the
 *         directory, or this process cannot; MXO_E_STORE_KEY: not its key, or none; MXO_E_STORE_VERSION: a newer
 *         version of this library has written it; MXO_E_STORE_DAMAGED: its file is damaged and was set aside under
 *         the name that the message tells, and the next open begins with an empty store; MXO_E_STORE_BUSY,
 *         MXO_E_DISK_FULL, MXO_E_STORE.
 */
mxo_status mxo_connector_open(const char *options_json, mxo_connector **connector, mxo_error **error);

/**
 * Closes a connector and frees it, within 2 seconds even past a callback that is stuck. Running calls return
 * MXO_E_CLOSED, operations complete truthfully, event queues drain to MXO_END. Handles that it gave can still be read
 * and freed afterwards, in any order. May be called from a callback, and twice. Any thread.
 *
 * @param connector  The connector. May be NULL: then nothing is done.
 */
void mxo_connector_close(mxo_connector *connector);

/**
 * Seals everything in the data directory with a new key, and forgets the old one. Other processes that have the
 * directory open take a new key file by themselves; with a key of the host's they must open anew with it. Any thread;
 * waits for others that write, 10 seconds at most. Since ABI 1.1.
 *
 * @param connector  An open connector.
 * @param new_key    The key that the host keeps from now on, base64 of 32 octets: the option "key" of later opens. May
 *                   be NULL: a new key in the key file of the directory.
 * @param error      Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_ARGUMENT: not such a key; MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_FORKED, the failures of the store
 *         (5xx): then the old key still holds.
 */
mxo_status mxo_connector_change_key(mxo_connector *connector, const char *new_key, mxo_error **error);

/**
 * Sets the connector's logger, or replaces it. The one before is told nothing more, and its user data is released.
 * Any thread; does not block.
 *
 * @param connector       An open connector.
 * @param level           The finest level wanted: MXO_LOG_OFF to MXO_LOG_DEBUG.
 * @param log             Is given each line. May be NULL: no logger from now on.
 * @param user_data       Passed to `log` as it is. May be NULL.
 * @param drop_user_data  Releases `user_data`, exactly once, also when this call fails. May be NULL.
 * @param error           Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_HANDLE, MXO_E_ARGUMENT, MXO_E_CLOSED, MXO_E_FORKED.
 */
mxo_status mxo_connector_set_logger(mxo_connector *connector,
                                    int32_t level,
                                    mxo_log_fn log,
                                    void *user_data,
                                    mxo_drop_fn drop_user_data,
                                    mxo_error **error);

/**
 * Opens a subscription to what happens from now on. Any thread; does not block.
 *
 * Each event has "/type": "system" (added, changed, removed, connected, sign_in_required …), "sign_in" (each step of
 * one), "completion" (an operation of this connector ended: "/operation_id", "/status", "/name", never its result),
 * "log" (a line of the log, only when asked for), and "lost" ("/count" events were dropped because nobody read them:
 * read the state again). A completion is kept until it was read or its operation freed; of the rest the newest 1,024.
 *
 * @param connector    An open connector.
 * @param filter_json  A JSON object (docs/schema/events-filter.schema.json): "types", "system_id", "log_level". May
 *                     be NULL: everything but the log.
 * @param events       Receives the subscription; close it with mxo_events_close.
 * @param error        Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_HANDLE, MXO_E_ARGUMENT, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED.
 */
mxo_status mxo_events_open(mxo_connector *connector, const char *filter_json, mxo_events **events, mxo_error **error);

/**
 * Waits for the next event. Any thread; several may wait on one subscription, each event goes to one of them.
 *
 * @param events      A subscription.
 * @param timeout_ms  How long to wait, in milliseconds; 0 looks once, MXO_FOREVER waits until there is one.
 * @param event       Receives the event; free it with mxo_value_free.
 * @param error       Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_TIMEOUT: nothing came; MXO_END: the connector was closed and everything was read;
 *         MXO_E_HANDLE, MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED.
 */
mxo_status mxo_events_next(mxo_events *events, uint32_t timeout_ms, mxo_value **event, mxo_error **error);

/**
 * Closes a subscription; a wait on it in another thread ends with MXO_END. Any thread; does not block.
 *
 * @param events  The subscription. May be NULL: then nothing is done.
 */
void mxo_events_close(mxo_events *events);

/**
 * Adds an external system. It is not connected yet: that takes a sign-in. Any thread; does not touch the network.
 *
 * @param connector      An open connector.
 * @param title          What the administrator calls it; 1 to 256 octets.
 * @param client_id      Application (client) ID of the app registration: a GUID.
 * @param tenant_id      Directory (tenant) ID: a GUID, or a domain of the organisation.
 * @param settings_json  A JSON object (docs/schema/system-settings.schema.json): "cloud" (a name or a record),
 *                       "serves" (of "smtp", "imap", "pop3"), "login_name", "sender", "openid". May be NULL: the
 *                       worldwide cloud and all three protocols.
 * @param system_id      Receives the system's identifier; free it with mxo_string_free.
 * @param error          Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_ARGUMENT, which names the parameter and the field; MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT,
 *         MXO_E_FORKED, the failures of the store (5xx).
 */
mxo_status mxo_system_add(mxo_connector *connector,
                          const char *title,
                          const char *client_id,
                          const char *tenant_id,
                          const char *settings_json,
                          char **system_id,
                          mxo_error **error);

/**
 * Changes a system. Another client ID, tenant ID or cloud ends its connection: somebody must sign in again. Any
 * thread; does not touch the network.
 *
 * @param connector   An open connector.
 * @param system_id   The system.
 * @param patch_json  A merge patch (RFC 7396) of "title", "client_id", "tenant_id" and "settings".
 * @param error       Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_NOT_FOUND, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_FORKED;
 *         MXO_E_STORE_BUSY when somebody else changed it at the same moment; the failures of the store (5xx).
 */
mxo_status mxo_system_update(mxo_connector *connector,
                             const char *system_id,
                             const char *patch_json,
                             mxo_error **error);

/**
 * Removes a system with its tokens; a sign-in of it is cancelled. Any thread; does not touch the network.
 *
 * @param connector  An open connector.
 * @param system_id  The system.
 * @param error      Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_FORKED, the failures of the store
 *         (5xx).
 */
mxo_status mxo_system_remove(mxo_connector *connector, const char *system_id, mxo_error **error);

/**
 * Tells a system: "/id", "/title", "/client_id", "/tenant_id", "/settings" and "/status". "/status/state" is
 * "not_connected", "signing_in", "code_waiting", "connected" or "sign_in_required"; "/status/login_name" is whom it is
 * connected as; "/status/warnings" is what refused although the sign-in worked, each with "/protocol" (null when it is
 * of none), "/status", "/name", "/message" and "/remedy"; "/status/error" is why it must be connected again. Any
 * thread; does not touch the network.
 *
 * @param connector  An open connector.
 * @param system_id  The system.
 * @param system     Receives the value; free it with mxo_value_free.
 * @param error      Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED, the failures
 *         of the store (5xx).
 */
mxo_status mxo_system_get(mxo_connector *connector, const char *system_id, mxo_value **system, mxo_error **error);

/**
 * Tells all systems, as "/systems/0", "/systems/1" …, each as mxo_system_get does. Any thread; does not touch the
 * network.
 *
 * @param connector  An open connector.
 * @param systems    Receives the value; free it with mxo_value_free.
 * @param error      Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED, the failures of the store
 *         (5xx).
 */
mxo_status mxo_system_list(mxo_connector *connector, mxo_value **systems, mxo_error **error);

/**
 * Starts a sign-in by device code (RFC 8628), or joins the one that runs. Any thread; does not block.
 *
 * The operation ends when the system is connected and proven (for now: SMTP has let it in once), or with the reason
 * why not. Its changes: at "code_waiting" show "/code/user_code" and "/code/verification_uri" (or ask
 * mxo_sign_in_code), "proving" when the person has confirmed, then "connected" or "failed". The result is what
 * mxo_sign_in_state tells; "/warnings" names each protocol of "serves" that was tried and refused although the sign-in
 * worked. Freeing the operation lets the sign-in go on; cancelling it cancels the sign-in.
 *
 * @param connector       An open connector.
 * @param system_id       The system.
 * @param options_json    A JSON object (docs/schema/sign-in-options.schema.json): "if_pending" is "join" or
 *                        "replace". May be NULL: join.
 * @param on_change       Is told of each change. May be NULL: pull instead.
 * @param user_data       Passed to `on_change` as it is. May be NULL.
 * @param drop_user_data  Releases `user_data`, exactly once, also when this call fails. May be NULL.
 * @param operation       Receives the operation; free it with mxo_operation_free.
 * @param error           Receives the error, if any. May be NULL.
 * @return MXO_OK: it has started; MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT,
 *         MXO_E_FORKED, the failures of the store (5xx). The operation itself may end with: MXO_E_SIGN_IN_DECLINED,
 *         MXO_E_SIGN_IN_EXPIRED, MXO_E_SIGN_IN_REQUIRED, MXO_E_APP_NOT_FOUND, MXO_E_TENANT_NOT_FOUND,
 *         MXO_E_PUBLIC_CLIENT_OFF, MXO_E_APP_SETUP, MXO_E_TENANT_SETUP, MXO_E_CONSENT, MXO_E_POLICY, MXO_E_ACCOUNT,
 *         MXO_E_WRONG_ACCOUNT, MXO_E_PERMISSION_MISSING, MXO_E_IDENTITY_BUSY, MXO_E_IDENTITY_REFUSED, MXO_E_PROTOCOL,
 *         MXO_E_FILE (the cloud's "ca_file"), MXO_E_CANCELED, MXO_E_CLOSED, and those of the network (3xx) and of
 *         the store (5xx).
 */
mxo_status mxo_sign_in_start(mxo_connector *connector,
                             const char *system_id,
                             const char *options_json,
                             mxo_operation_fn on_change,
                             void *user_data,
                             mxo_drop_fn drop_user_data,
                             mxo_operation **operation,
                             mxo_error **error);

/**
 * Waits until a sign-in has a code to show. Any thread.
 *
 * @param connector   An open connector.
 * @param system_id   The system.
 * @param sign_in_id  Which sign-in. May be NULL: the latest.
 * @param timeout_ms  How long to wait, in milliseconds; 0 looks once.
 * @param code        Receives the code; free it with mxo_device_code_free.
 * @param error       Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_TIMEOUT: there is none yet; MXO_E_NOT_FOUND: no such system or sign-in; MXO_E_ARGUMENT,
 *         MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED, the failures of the store (5xx); when the sign-in has
 *         failed, its failure (see mxo_sign_in_start).
 */
mxo_status mxo_sign_in_code(mxo_connector *connector,
                            const char *system_id,
                            const char *sign_in_id,
                            uint32_t timeout_ms,
                            mxo_device_code **code,
                            mxo_error **error);

/**
 * Tells where a sign-in stands: "/state" ("starting", "code_waiting", "proving", "connected", "failed"), "/status"
 * (MXO_PENDING while it runs, then how it ended), "/name" (of the status), "/sign_in_id", "/code" (with
 * "/code/expires_in_s") while it waits, "/error" when it failed. Outcomes are kept, so a page asks by the identifier
 * of its own sign-in and never reads an older success. Any process that has the data directory open may ask; a page
 * that asks every few seconds sees the sign-in through to its end, also when nobody else does. Any thread.
 *
 * @param connector   An open connector.
 * @param system_id   The system.
 * @param sign_in_id  Which sign-in. May be NULL: the latest.
 * @param timeout_ms  How long to wait for a turn that is due and that this call takes because nobody else does: a poll
 *                    of the identity service, which is awaited to its own deadline (30 seconds) so that its answer is
 *                    not lost, or the proof. 0 asks nobody and tells what is known.
 * @param state       Receives the value; free it with mxo_value_free.
 * @param error       Receives the error, if any. May be NULL.
 * @return MXO_OK, also for a sign-in that has failed; MXO_E_NOT_FOUND: no such system or sign-in; MXO_E_ARGUMENT,
 *         MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED, the failures of the store (5xx).
 */
mxo_status mxo_sign_in_state(mxo_connector *connector,
                             const char *system_id,
                             const char *sign_in_id,
                             uint32_t timeout_ms,
                             mxo_value **state,
                             mxo_error **error);

/**
 * Cancels a sign-in, whoever started it; one that has ended stays as it is. Any thread; does not block.
 *
 * @param connector   An open connector.
 * @param system_id   The system.
 * @param sign_in_id  Which sign-in. May be NULL: the latest.
 * @param error       Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_FORKED, the failures of the store
 *         (5xx).
 */
mxo_status mxo_sign_in_cancel(mxo_connector *connector,
                              const char *system_id,
                              const char *sign_in_id,
                              mxo_error **error);

/**
 * Forgets the tokens of a system, and cancels a sign-in of it. Local: Microsoft is not told, and the access token goes
 * on living there for its hour. Any thread; does not touch the network.
 *
 * @param connector  An open connector.
 * @param system_id  The system.
 * @param error      Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_FORKED, the failures of the store
 *         (5xx).
 */
mxo_status mxo_sign_out(mxo_connector *connector, const char *system_id, mxo_error **error);

/**
 * The sign-in to which the code belongs: for mxo_sign_in_state and mxo_sign_in_cancel. Borrowed until the code is
 * freed.
 *
 * @param code  The code. May be NULL: gives NULL.
 */
const char *mxo_device_code_sign_in_id(const mxo_device_code *code);

/**
 * What the person types, to be shown and copied as it is. Borrowed until the code is freed.
 *
 * @param code  The code. May be NULL: gives NULL.
 */
const char *mxo_device_code_user_code(const mxo_device_code *code);

/**
 * The address where the person types it, to be shown as it is; always https. Borrowed until the code is freed.
 *
 * @param code  The code. May be NULL: gives NULL.
 */
const char *mxo_device_code_verification_uri(const mxo_device_code *code);

/**
 * A sentence for the person that names both, as the service wrote it. Borrowed until the code is freed.
 *
 * @param code  The code. May be NULL: gives NULL.
 */
const char *mxo_device_code_message(const mxo_device_code *code);

/**
 * Seconds that are left now to confirm the code; 0 when its time is over.
 *
 * @param code  The code. May be NULL: gives -1.
 */
int64_t mxo_device_code_expires_in_s(const mxo_device_code *code);

/**
 * Seconds between two questions to the service. The library keeps to it by itself; a page that refreshes may too.
 *
 * @param code  The code. May be NULL: gives -1.
 */
int64_t mxo_device_code_interval_s(const mxo_device_code *code);

/**
 * Frees a code; the sign-in goes on. Any thread; does not block.
 *
 * @param code  The code. May be NULL: then nothing is done.
 */
void mxo_device_code_free(mxo_device_code *code);

/**
 * Gives an access token for the mail servers, refreshed if it must be. Any thread; blocks while it asks the identity
 * service. A refresh that is under way is shared, and goes on when the time is over.
 *
 * @param connector          An open connector.
 * @param system_id          The system.
 * @param min_validity_s     How long the token must live at least, in seconds. One that was refreshed in the last
 *                           minute is given even if it is shorter.
 * @param timeout_ms         How long to wait, in milliseconds.
 * @param token              Receives the token: opaque text of 1.5 to 3 kB, rarely up to 64 KiB. Free it with
 *                           mxo_string_free, which wipes it.
 * @param expires_at_unix_s  Receives when it ends, in seconds since 1970. May be NULL.
 * @param error              Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_SIGN_IN_REQUIRED and the other failures of a sign-in (2xx): somebody must connect the system;
 *         MXO_E_IDENTITY_BUSY; MXO_E_TIMEOUT: not in this time; MXO_E_FILE (the cloud's "ca_file"); the failures of
 *         the network (3xx); MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED,
 *         the failures of the store (5xx).
 */
mxo_status mxo_access_token(mxo_connector *connector,
                            const char *system_id,
                            uint32_t min_validity_s,
                            uint32_t timeout_ms,
                            char **token,
                            int64_t *expires_at_unix_s,
                            mxo_error **error);

/**
 * The same as an operation. Its result has "/access_token" and "/expires_at_unix_s", and is wiped when freed. Any
 * thread; does not block.
 *
 * @param connector       An open connector.
 * @param system_id       The system.
 * @param min_validity_s  As for mxo_access_token.
 * @param on_change       Is told of the end. May be NULL.
 * @param user_data       Passed to `on_change` as it is. May be NULL.
 * @param drop_user_data  Releases `user_data`, exactly once, also when this call fails. May be NULL.
 * @param operation       Receives the operation; free it with mxo_operation_free.
 * @param error           Receives the error, if any. May be NULL.
 * @return MXO_OK: it has started; MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED. The operation
 *         itself ends as mxo_access_token does.
 */
mxo_status mxo_access_token_start(mxo_connector *connector,
                                  const char *system_id,
                                  uint32_t min_validity_s,
                                  mxo_operation_fn on_change,
                                  void *user_data,
                                  mxo_drop_fn drop_user_data,
                                  mxo_operation **operation,
                                  mxo_error **error);

/**
 * Gives the XOAUTH2 response for a mail server: base64 on one line, for a client of your own. Send `AUTH XOAUTH2`
 * alone and this after the server's challenge: it is longer than a command line may be. Any thread; blocks as
 * mxo_access_token does.
 *
 * @param connector         An open connector.
 * @param system_id         The system.
 * @param mailbox           The login name. May be NULL: that of the system.
 * @param timeout_ms        How long to wait, in milliseconds.
 * @param initial_response  Receives the response: a secret of 2 to 4 kB, rarely up to 88 KiB. Free it with
 *                          mxo_string_free, which wipes it.
 * @param error             Receives the error, if any. May be NULL.
 * @return As mxo_access_token.
 */
mxo_status mxo_xoauth2(mxo_connector *connector,
                       const char *system_id,
                       const char *mailbox,
                       uint32_t timeout_ms,
                       char **initial_response,
                       mxo_error **error);

/**
 * Makes an empty mail. Any thread; does not block.
 *
 * @param mail   Receives the mail; free it with mxo_mail_free.
 * @param error  Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED.
 */
mxo_status mxo_mail_new(mxo_mail **mail, mxo_error **error);

/**
 * Makes a mail from ready-made MIME (RFC 5322). Sender and recipients come from its header, which must have a From; Bcc and Resent-Bcc are not sent;
 * Message-ID and Date are added when they are absent; line ends become CRLF; the rest stays as it is. Recipients that
 * are added afterwards replace those of the header. Any thread; does not block.
 *
 * @param mime    The mail. May be NULL when `length` is 0.
 * @param length  Its length in octets, at most 157,286,400.
 * @param mail    Receives the mail; free it with mxo_mail_free.
 * @param error   Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_ARGUMENT, also when the bytes are no mail; MXO_E_LIMIT, MXO_E_FORKED.
 */
mxo_status mxo_mail_from_mime(const void *mime,
                              size_t length,
                              mxo_mail **mail,
                              mxo_error **error);

/**
 * Makes a copy with a Message-ID of its own. Any thread; does not block.
 *
 * @param mail   The mail.
 * @param clone  Receives the copy; free it with mxo_mail_free.
 * @param error  Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_HANDLE, MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED.
 */
mxo_status mxo_mail_clone(const mxo_mail *mail, mxo_mail **clone, mxo_error **error);

/**
 * Sets the sender. Without it the mail is sent from the system's address. Any thread; does not block.
 *
 * @param mail     The mail.
 * @param address  E-mail address.
 * @param name     Display name, UTF-8. May be NULL: none.
 * @param error    Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_HANDLE, MXO_E_FORKED.
 */
mxo_status mxo_mail_set_from(mxo_mail *mail, const char *address, const char *name, mxo_error **error);

/**
 * Adds a recipient, or an address for answers. Any thread; does not block.
 *
 * @param mail     The mail.
 * @param kind     MXO_TO, MXO_CC, MXO_BCC or MXO_REPLY_TO.
 * @param address  E-mail address.
 * @param name     Display name, UTF-8. May be NULL: none.
 * @param error    Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_LIMIT above 1,000; MXO_E_HANDLE, MXO_E_FORKED.
 */
mxo_status mxo_mail_add_recipient(mxo_mail *mail,
                                  int32_t kind,
                                  const char *address,
                                  const char *name,
                                  mxo_error **error);

/**
 * Sets the subject. Any thread; does not block.
 *
 * @param mail     The mail.
 * @param subject  UTF-8, without line ends, at most 4 KiB, in words of at most 900 octets.
 * @param error    Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_HANDLE, MXO_E_FORKED.
 */
mxo_status mxo_mail_set_subject(mxo_mail *mail, const char *subject, mxo_error **error);

/**
 * Sets the text body. Any thread; does not block.
 *
 * @param mail   The mail.
 * @param text   UTF-8, any line ends, at most 16 MiB.
 * @param error  Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_FORKED.
 */
mxo_status mxo_mail_set_text(mxo_mail *mail, const char *text, mxo_error **error);

/**
 * Sets the HTML body; with a text body the receiver shows either. Any thread; does not block.
 *
 * @param mail   The mail.
 * @param html   UTF-8, at most 16 MiB.
 * @param error  Receives the error, if any. May be NULL.
 * @return MXO_OK, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_FORKED.
 */
mxo_status mxo_mail_set_html(mxo_mail *mail, const char *html, mxo_error **error);

/**
 * Adds a header, such as "X-Priority" or "Auto-Submitted"; not one that the library writes itself. Any thread; does
 * not block.
 *
 * @param mail   The mail.
 * @param name   Its name: printable ASCII without colon.
 * @param value  Its value: UTF-8 without line ends.
 * @param error  Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_LIMIT above 200; MXO_E_HANDLE, MXO_E_FORKED.
 */
mxo_status mxo_mail_add_header(mxo_mail *mail, const char *name, const char *value, mxo_error **error);

/**
 * Attaches bytes, which are copied. Any thread; does not block.
 *
 * @param mail          The mail.
 * @param name          The file name that the receiver sees, UTF-8.
 * @param content_type  As "application/pdf". May be NULL: by the extension of the name, else
 *                      application/octet-stream.
 * @param content       The bytes. May be NULL when `length` is 0.
 * @param length        How many.
 * @param error         Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_MESSAGE_TOO_BIG, MXO_E_LIMIT above 1,000;
 *         MXO_E_HANDLE, MXO_E_FORKED.
 */
mxo_status mxo_mail_attach_bytes(mxo_mail *mail,
                                 const char *name,
                                 const char *content_type,
                                 const void *content,
                                 size_t length,
                                 mxo_error **error);

/**
 * Attaches a file. It is opened at once and read when the mail is sent; one that shrank, grew or changed by then fails
 * before anything is sent. Any thread; blocks for the opening only.
 *
 * @param mail          The mail.
 * @param path          Path of the file, UTF-8.
 * @param name          The file name that the receiver sees, UTF-8. May be NULL: the file's own.
 * @param content_type  As "application/pdf". May be NULL: by the extension of the name, else
 *                      application/octet-stream.
 * @param error         Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_E_FILE: it cannot be read; MXO_E_ARGUMENT, which names the field; MXO_E_MESSAGE_TOO_BIG,
 *         MXO_E_LIMIT above 1,000; MXO_E_HANDLE, MXO_E_FORKED.
 */
mxo_status mxo_mail_attach_file(mxo_mail *mail,
                                const char *path,
                                const char *name,
                                const char *content_type,
                                mxo_error **error);

/**
 * Frees a mail; one that is being sent is sent. Any thread; does not block.
 *
 * @param mail  The mail. May be NULL: then nothing is done.
 */
void mxo_mail_free(mxo_mail *mail);

/**
 * Sends a mail now, and waits until the server has it. Any thread; blocks.
 *
 * The mail's state is taken when this is called: it may be changed, sent again or freed right after. It is never sent
 * twice by itself. The report has "/message_id", "/reply" (the server's own words, with its name for the mail),
 * "/accepted", "/refused" and "/recipients" ("/recipients/0/address", "/accepted", "/reply", "/enhanced_code").
 *
 * @param connector   An open connector.
 * @param system_id   The system.
 * @param mail        The mail. Without a sender address it is sent from the system's.
 * @param timeout_ms  How long it may take, in milliseconds, connecting included.
 * @param report      Receives the report on MXO_OK and MXO_PARTIAL; free it with mxo_value_free. May be NULL.
 * @param error       Receives the error, if any. May be NULL.
 * @return MXO_OK; MXO_PARTIAL: sent, but not to every recipient; MXO_E_SEND_UNKNOWN: it may have been sent or not;
 *         with every other failure it was not sent: MXO_E_TIMEOUT, MXO_E_SIGN_IN_REQUIRED and the others of
 *         mxo_access_token, MXO_E_LOGIN_REFUSED (MXO_E_WRONG_ACCOUNT where another account than the mailbox is
 *         refused), MXO_E_SMTP_AUTH_OFF, MXO_E_LOGIN_BLOCKED, MXO_E_STARTTLS_MISSING, MXO_E_SENDER_REFUSED,
 *         MXO_E_RECIPIENTS_REFUSED, MXO_E_MESSAGE_REFUSED, MXO_E_MESSAGE_TOO_BIG, MXO_E_MAIL_BUSY, MXO_E_QUOTA,
 *         MXO_E_SENDER_BLOCKED, MXO_E_PROTOCOL, MXO_E_FILE, those of the network (3xx), MXO_E_NOT_FOUND,
 *         MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED, the failures of the store (5xx).
 */
mxo_status mxo_send(mxo_connector *connector,
                    const char *system_id,
                    mxo_mail *mail,
                    uint32_t timeout_ms,
                    mxo_value **report,
                    mxo_error **error);

/**
 * The same as an operation, whose result is the report. Any thread; does not block.
 *
 * @param connector       An open connector.
 * @param system_id       The system.
 * @param mail            The mail.
 * @param on_change       Is told of the end. May be NULL.
 * @param user_data       Passed to `on_change` as it is. May be NULL.
 * @param drop_user_data  Releases `user_data`, exactly once, also when this call fails. May be NULL.
 * @param operation       Receives the operation; free it with mxo_operation_free.
 * @param error           Receives the error, if any. May be NULL.
 * @return MXO_OK: it has started; MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED. The operation
 *         itself ends as mxo_send does, or with MXO_E_CANCELED.
 */
mxo_status mxo_send_start(mxo_connector *connector,
                          const char *system_id,
                          mxo_mail *mail,
                          mxo_operation_fn on_change,
                          void *user_data,
                          mxo_drop_fn drop_user_data,
                          mxo_operation **operation,
                          mxo_error **error);

/**
 * Walks the whole road of a system and tells of each step whether it works: name resolution, connection and
 * certificate of the sign-in service, its answer, tenant and application, public client flows, the access token, the
 * permissions, the account; name, connection, encryption and login of the SMTP server. The token of a system that is
 * connected is refreshed, unless it is less than a minute old; of one that is not, a sign-in code is asked for and thrown
 * away. No mail is sent and nobody is signed in. Any thread; does not block. Since ABI 1.1.
 *
 * The operation's result (docs/schema/check-result.schema.json): "/verdict" ("ok" or "failed"), "/cause" (the first
 * fault as error JSON with "/cause/step", or null), "/steps" (each with "step", "title", "state": "ok", "failed" or
 * "skipped", "duration_ms", "detail" in plain words, "facts", "status", "name", "error" with its remedy), "/text" (all
 * of it as a checklist to print). Its changes are the same after each step, with "/verdict" "pending" while there is no
 * fault; the last one is the completion. A fault that is found is a result: the operation ends MXO_OK. No token is in it.
 *
 * @param connector       An open connector.
 * @param system_id       The system.
 * @param options_json    A JSON object (docs/schema/check-options.schema.json): "network_only" (true: asks for no code
 *                        and no token, and logs in nowhere), "timeout_s" (for all of it, in seconds, 1 to 600). May be
 *                        NULL: the whole road, in three minutes at most.
 * @param on_change       Is told after each step. May be NULL.
 * @param user_data       Passed to `on_change` as it is. May be NULL.
 * @param drop_user_data  Releases `user_data`, exactly once, also when this call fails. May be NULL.
 * @param operation       Receives the operation; free it with mxo_operation_free.
 * @param error           Receives the error, if any. May be NULL.
 * @return MXO_OK: it has started; MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED. The operation
 *         itself ends MXO_OK whatever it finds, or with MXO_E_NOT_FOUND, MXO_E_CANCELED, MXO_E_CLOSED, the failures of
 *         the store (5xx).
 */
mxo_status mxo_check_start(mxo_connector *connector,
                           const char *system_id,
                           const char *options_json,
                           mxo_operation_fn on_change,
                           void *user_data,
                           mxo_drop_fn drop_user_data,
                           mxo_operation **operation,
                           mxo_error **error);

/**
 * The number of an operation, as its completion event carries it: 1 to 2^53 - 1; 0 when `operation` is none. Any
 * thread; does not block.
 *
 * @param operation  The operation. May be NULL: gives 0.
 */
int64_t mxo_operation_id(const mxo_operation *operation);

/**
 * Waits for the end of an operation and gives its result, as often as it is asked. Any thread. Inside the callback of
 * this very operation a wait for an operation that has not ended gives MXO_E_WOULD_DEADLOCK, unless `timeout_ms` is 0.
 *
 * @param operation   The operation.
 * @param timeout_ms  How long to wait, in milliseconds; 0 looks once, MXO_FOREVER waits until it has ended.
 * @param result      Receives the result on MXO_OK and MXO_PARTIAL; free it with mxo_value_free. May be NULL.
 * @param error       Receives the error, if any. May be NULL.
 * @return MXO_OK or MXO_PARTIAL: it ended well; MXO_TIMEOUT: it goes on; MXO_E_HANDLE, MXO_E_WOULD_DEADLOCK,
 *         MXO_E_LIMIT, MXO_E_FORKED; or the failure with which it ended: MXO_E_CANCELED, MXO_E_CLOSED, and what the
 *         function that started it names.
 */
mxo_status mxo_operation_wait(mxo_operation *operation, uint32_t timeout_ms, mxo_value **result, mxo_error **error);

/**
 * Asks an operation to end. It ends with MXO_E_CANCELED unless it ended before; a mail whose final dot is not answered
 * ends with MXO_E_SEND_UNKNOWN. The handle stays. Any thread; does not block.
 *
 * @param operation  The operation. May be NULL: then nothing is done.
 */
void mxo_operation_cancel(mxo_operation *operation);

/**
 * Lets go of an operation and no more: the work goes on. No new callback of it begins after this returns; one that is
 * running may still end, and then the user data is released. Any thread; does not block.
 *
 * @param operation  The operation. May be NULL: then nothing is done.
 */
void mxo_operation_free(mxo_operation *operation);

/**
 * What is at a path: one of the MXO_KIND_ constants. Tells absent, null and a wrong type apart.
 *
 * @param value  The value. May be NULL: gives MXO_KIND_ABSENT.
 * @param path   JSON Pointer. May be NULL: the root.
 */
int32_t mxo_value_kind(const mxo_value *value, const char *path);

/**
 * The text at a path; NULL when there is none. Borrowed until the value is freed.
 *
 * @param value  The value. May be NULL: gives NULL.
 * @param path   JSON Pointer. May be NULL: the root.
 */
const char *mxo_value_string(const mxo_value *value, const char *path);

/**
 * The whole number at a path.
 *
 * @param value     The value. May be NULL: gives `fallback`.
 * @param path      JSON Pointer. May be NULL: the root.
 * @param fallback  What is given when there is no whole number at the path.
 */
int64_t mxo_value_integer(const mxo_value *value, const char *path, int64_t fallback);

/**
 * The truth at a path: 1 or 0.
 *
 * @param value     The value. May be NULL: gives `fallback`.
 * @param path      JSON Pointer. May be NULL: the root.
 * @param fallback  What is given when there is neither true nor false at the path.
 */
int32_t mxo_value_boolean(const mxo_value *value, const char *path, int32_t fallback);

/**
 * How many items a list or members an object at a path has; 0 for anything else.
 *
 * @param value  The value. May be NULL: gives 0.
 * @param path   JSON Pointer. May be NULL: the root.
 */
size_t mxo_value_count(const mxo_value *value, const char *path);

/**
 * The key of a member of the object at a path; NULL past the last. Borrowed until the value is freed.
 *
 * @param value  The value. May be NULL: gives NULL.
 * @param path   JSON Pointer. May be NULL: the root.
 * @param index  From 0 to mxo_value_count - 1.
 */
const char *mxo_value_key(const mxo_value *value, const char *path, size_t index);

/**
 * The whole tree as JSON. Borrowed until the value is freed; wiped then, since a value may hold a token.
 *
 * @param value  The value. May be NULL: gives NULL.
 */
const char *mxo_value_json(const mxo_value *value);

/**
 * Frees a value. Any thread; does not block.
 *
 * @param value  The value. May be NULL: then nothing is done.
 */
void mxo_value_free(mxo_value *value);

/**
 * The status that the call also returned; MXO_E_HANDLE when `error` is no live error.
 *
 * @param error  The error. May be NULL: gives MXO_E_HANDLE.
 */
mxo_status mxo_error_status(const mxo_error *error);

/**
 * One sentence for the administrator: what happened. Borrowed until the error is freed.
 *
 * @param error  The error. May be NULL: gives NULL.
 */
const char *mxo_error_message(const mxo_error *error);

/**
 * What to do about it, naming the exact setting; NULL where there is nothing to do. Borrowed until the error is freed.
 *
 * @param error  The error. May be NULL: gives NULL.
 */
const char *mxo_error_remedy(const mxo_error *error);

/**
 * 1 when the same call may work later without anybody doing anything, else 0.
 *
 * @param error  The error. May be NULL: gives 0.
 */
int32_t mxo_error_is_transient(const mxo_error *error);

/**
 * Seconds before which it should not be tried again, as the service said; -1 when it said nothing.
 *
 * @param error  The error. May be NULL: gives -1.
 */
int64_t mxo_error_retry_after_s(const mxo_error *error);

/**
 * 1 when somebody must sign in before it can work, else 0.
 *
 * @param error  The error. May be NULL: gives 0.
 */
int32_t mxo_error_sign_in_required(const mxo_error *error);

/**
 * The number of Microsoft's AADSTS error; 0 when there is none.
 *
 * @param error  The error. May be NULL: gives 0.
 */
int64_t mxo_error_aadsts(const mxo_error *error);

/**
 * The code of the SMTP reply, such as 535; 0 when there is none.
 *
 * @param error  The error. May be NULL: gives 0.
 */
int32_t mxo_error_smtp_code(const mxo_error *error);

/**
 * The enhanced status code of a mail server (RFC 3463), such as "5.7.139"; NULL when there is none. Borrowed until the
 * error is freed.
 *
 * @param error  The error. May be NULL: gives NULL.
 */
const char *mxo_error_enhanced_code(const mxo_error *error);

/**
 * The error code of the identity service (RFC 6749 section 5.2), such as "invalid_grant"; NULL when there is none.
 * Borrowed until the error is freed.
 *
 * @param error  The error. May be NULL: gives NULL.
 */
const char *mxo_error_service_error(const mxo_error *error);

/**
 * What the service said, in its own words, cut to 8 KiB; NULL when it said nothing. Borrowed until the error is freed.
 *
 * @param error  The error. May be NULL: gives NULL.
 */
const char *mxo_error_service_text(const mxo_error *error);

/**
 * Microsoft's trace id, for its support; NULL when there is none. Borrowed until the error is freed.
 *
 * @param error  The error. May be NULL: gives NULL.
 */
const char *mxo_error_trace_id(const mxo_error *error);

/**
 * Microsoft's correlation id, for its support; NULL when there is none. Borrowed until the error is freed.
 *
 * @param error  The error. May be NULL: gives NULL.
 */
const char *mxo_error_correlation_id(const mxo_error *error);

/**
 * All of it as a JSON object: status, name, message, remedy, transient, retry_after_s, sign_in_required, service.
 * Borrowed until the error is freed.
 *
 * @param error  The error. May be NULL: gives NULL.
 */
const char *mxo_error_json(const mxo_error *error);

/**
 * Frees an error. Any thread; does not block.
 *
 * @param error  The error. May be NULL: then nothing is done.
 */
void mxo_error_free(mxo_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MYQ_EXCHANGE_ONLINE_H */
