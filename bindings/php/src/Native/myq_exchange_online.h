/* Generated from src/ffi for PHP's FFI::cdef; see include/myq_exchange_online.h for what it means. */

#define MXO_ABI_MAJOR 1

#define MXO_ABI_MINOR 1

#define MXO_LOG_OFF 0

#define MXO_LOG_ERROR 1

#define MXO_LOG_WARNING 2

#define MXO_LOG_INFO 3

#define MXO_LOG_DEBUG 4

#define MXO_TO 0

#define MXO_CC 1

#define MXO_BCC 2

#define MXO_REPLY_TO 3

#define MXO_FOREVER 0xffffffffu

#define MXO_KIND_ABSENT 0

#define MXO_KIND_NULL 1

#define MXO_KIND_BOOLEAN 2

#define MXO_KIND_INTEGER 3

#define MXO_KIND_STRING 4

#define MXO_KIND_ARRAY 5

#define MXO_KIND_OBJECT 6

typedef struct mxo_connector mxo_connector;

typedef struct mxo_device_code mxo_device_code;

typedef struct mxo_error mxo_error;

typedef struct mxo_events mxo_events;

typedef struct mxo_mail mxo_mail;

typedef struct mxo_operation mxo_operation;

typedef struct mxo_value mxo_value;

typedef int32_t mxo_status;

typedef void (*mxo_log_fn)(void *user_data, int32_t level, const char *message);

typedef void (*mxo_drop_fn)(void *user_data);

typedef void (*mxo_operation_fn)(void *user_data, mxo_operation *operation, const mxo_value *change);

#define MXO_OK 0

#define MXO_PENDING 1

#define MXO_TIMEOUT 2

#define MXO_END 3

#define MXO_PARTIAL 4

#define MXO_E_ARGUMENT -100

#define MXO_E_HANDLE -101

#define MXO_E_CLOSED -102

#define MXO_E_FORKED -103

#define MXO_E_WOULD_DEADLOCK -104

#define MXO_E_NOT_FOUND -105

#define MXO_E_CANCELED -106

#define MXO_E_TIMEOUT -107

#define MXO_E_LIMIT -108

#define MXO_E_SETTLED -109

#define MXO_E_LEASE_LOST -110

#define MXO_E_SIGN_IN_REQUIRED -200

#define MXO_E_SIGN_IN_DECLINED -201

#define MXO_E_SIGN_IN_EXPIRED -202

#define MXO_E_APP_NOT_FOUND -203

#define MXO_E_TENANT_NOT_FOUND -204

#define MXO_E_PUBLIC_CLIENT_OFF -205

#define MXO_E_APP_SETUP -206

#define MXO_E_TENANT_SETUP -207

#define MXO_E_CONSENT -208

#define MXO_E_POLICY -209

#define MXO_E_ACCOUNT -210

#define MXO_E_WRONG_ACCOUNT -211

#define MXO_E_PERMISSION_MISSING -212

#define MXO_E_IDENTITY_BUSY -213

#define MXO_E_IDENTITY_REFUSED -214

#define MXO_E_DISABLED -215

#define MXO_E_NETWORK -300

#define MXO_E_NAME_RESOLUTION -301

#define MXO_E_TLS -302

#define MXO_E_CERTIFICATE -303

#define MXO_E_PROXY -304

#define MXO_E_PROTOCOL -400

#define MXO_E_STARTTLS_MISSING -401

#define MXO_E_LOGIN_REFUSED -402

#define MXO_E_SMTP_AUTH_OFF -403

#define MXO_E_LOGIN_BLOCKED -404

#define MXO_E_SENDER_REFUSED -405

#define MXO_E_RECIPIENTS_REFUSED -406

#define MXO_E_MESSAGE_REFUSED -407

#define MXO_E_MESSAGE_TOO_BIG -408

#define MXO_E_MAIL_BUSY -409

#define MXO_E_QUOTA -410

#define MXO_E_SENDER_BLOCKED -411

#define MXO_E_SEND_UNKNOWN -412

#define MXO_E_MAILBOX -413

#define MXO_E_STORE -500

#define MXO_E_STORE_BUSY -501

#define MXO_E_STORE_VERSION -502

#define MXO_E_STORE_DAMAGED -503

#define MXO_E_STORE_ACCESS -504

#define MXO_E_STORE_KEY -505

#define MXO_E_DISK_FULL -506

#define MXO_E_FILE -507

#define MXO_E_INTERNAL -900

uint32_t mxo_abi_version(void);

const char *mxo_version(void);

const char *mxo_status_name(mxo_status value);

mxo_status mxo_descriptor(mxo_value **descriptor, mxo_error **error);

mxo_status mxo_explain(const char *text, mxo_value **explanation, mxo_error **error);

void mxo_string_free(char *text);

mxo_status mxo_connector_open(const char *options_json, mxo_connector **connector, mxo_error **error);

void mxo_connector_close(mxo_connector *connector);

mxo_status mxo_connector_change_key(mxo_connector *connector, const char *new_key, mxo_error **error);

mxo_status mxo_connector_set_logger(mxo_connector *connector,
                                    int32_t level,
                                    mxo_log_fn log,
                                    void *user_data,
                                    mxo_drop_fn drop_user_data,
                                    mxo_error **error);

mxo_status mxo_events_open(mxo_connector *connector, const char *filter_json, mxo_events **events, mxo_error **error);

mxo_status mxo_events_next(mxo_events *events, uint32_t timeout_ms, mxo_value **event, mxo_error **error);

void mxo_events_close(mxo_events *events);

mxo_status mxo_system_add(mxo_connector *connector,
                          const char *title,
                          const char *client_id,
                          const char *tenant_id,
                          const char *settings_json,
                          char **system_id,
                          mxo_error **error);

mxo_status mxo_system_update(mxo_connector *connector,
                             const char *system_id,
                             const char *patch_json,
                             mxo_error **error);

mxo_status mxo_system_remove(mxo_connector *connector, const char *system_id, mxo_error **error);

mxo_status mxo_system_get(mxo_connector *connector, const char *system_id, mxo_value **system, mxo_error **error);

mxo_status mxo_system_list(mxo_connector *connector, mxo_value **systems, mxo_error **error);

mxo_status mxo_sign_in_start(mxo_connector *connector,
                             const char *system_id,
                             const char *options_json,
                             mxo_operation_fn on_change,
                             void *user_data,
                             mxo_drop_fn drop_user_data,
                             mxo_operation **operation,
                             mxo_error **error);

mxo_status mxo_sign_in_code(mxo_connector *connector,
                            const char *system_id,
                            const char *sign_in_id,
                            uint32_t timeout_ms,
                            mxo_device_code **code,
                            mxo_error **error);

mxo_status mxo_sign_in_state(mxo_connector *connector,
                             const char *system_id,
                             const char *sign_in_id,
                             uint32_t timeout_ms,
                             mxo_value **state,
                             mxo_error **error);

mxo_status mxo_sign_in_cancel(mxo_connector *connector,
                              const char *system_id,
                              const char *sign_in_id,
                              mxo_error **error);

mxo_status mxo_sign_out(mxo_connector *connector, const char *system_id, mxo_error **error);

const char *mxo_device_code_sign_in_id(const mxo_device_code *code);

const char *mxo_device_code_user_code(const mxo_device_code *code);

const char *mxo_device_code_verification_uri(const mxo_device_code *code);

const char *mxo_device_code_message(const mxo_device_code *code);

int64_t mxo_device_code_expires_in_s(const mxo_device_code *code);

int64_t mxo_device_code_interval_s(const mxo_device_code *code);

void mxo_device_code_free(mxo_device_code *code);

mxo_status mxo_access_token(mxo_connector *connector,
                            const char *system_id,
                            uint32_t min_validity_s,
                            uint32_t timeout_ms,
                            char **token,
                            int64_t *expires_at_unix_s,
                            mxo_error **error);

mxo_status mxo_access_token_start(mxo_connector *connector,
                                  const char *system_id,
                                  uint32_t min_validity_s,
                                  mxo_operation_fn on_change,
                                  void *user_data,
                                  mxo_drop_fn drop_user_data,
                                  mxo_operation **operation,
                                  mxo_error **error);

mxo_status mxo_xoauth2(mxo_connector *connector,
                       const char *system_id,
                       const char *mailbox,
                       uint32_t timeout_ms,
                       char **initial_response,
                       mxo_error **error);

mxo_status mxo_mail_new(mxo_mail **mail, mxo_error **error);

mxo_status mxo_mail_from_mime(const void *mime, size_t length, mxo_mail **mail, mxo_error **error);

mxo_status mxo_mail_clone(const mxo_mail *mail, mxo_mail **clone, mxo_error **error);

mxo_status mxo_mail_set_from(mxo_mail *mail, const char *address, const char *name, mxo_error **error);

mxo_status mxo_mail_add_recipient(mxo_mail *mail,
                                  int32_t kind,
                                  const char *address,
                                  const char *name,
                                  mxo_error **error);

mxo_status mxo_mail_set_subject(mxo_mail *mail, const char *subject, mxo_error **error);

mxo_status mxo_mail_set_text(mxo_mail *mail, const char *text, mxo_error **error);

mxo_status mxo_mail_set_html(mxo_mail *mail, const char *html, mxo_error **error);

mxo_status mxo_mail_add_header(mxo_mail *mail, const char *name, const char *value, mxo_error **error);

mxo_status mxo_mail_attach_bytes(mxo_mail *mail,
                                 const char *name,
                                 const char *content_type,
                                 const void *content,
                                 size_t length,
                                 mxo_error **error);

mxo_status mxo_mail_attach_file(mxo_mail *mail,
                                const char *path,
                                const char *name,
                                const char *content_type,
                                mxo_error **error);

void mxo_mail_free(mxo_mail *mail);

mxo_status mxo_send(mxo_connector *connector,
                    const char *system_id,
                    mxo_mail *mail,
                    uint32_t timeout_ms,
                    mxo_value **report,
                    mxo_error **error);

mxo_status mxo_send_start(mxo_connector *connector,
                          const char *system_id,
                          mxo_mail *mail,
                          mxo_operation_fn on_change,
                          void *user_data,
                          mxo_drop_fn drop_user_data,
                          mxo_operation **operation,
                          mxo_error **error);

mxo_status mxo_check_start(mxo_connector *connector,
                           const char *system_id,
                           const char *options_json,
                           mxo_operation_fn on_change,
                           void *user_data,
                           mxo_drop_fn drop_user_data,
                           mxo_operation **operation,
                           mxo_error **error);

int64_t mxo_operation_id(const mxo_operation *operation);

mxo_status mxo_operation_wait(mxo_operation *operation, uint32_t timeout_ms, mxo_value **result, mxo_error **error);

void mxo_operation_cancel(mxo_operation *operation);

void mxo_operation_free(mxo_operation *operation);

int32_t mxo_value_kind(const mxo_value *value, const char *path);

const char *mxo_value_string(const mxo_value *value, const char *path);

int64_t mxo_value_integer(const mxo_value *value, const char *path, int64_t fallback);

int32_t mxo_value_boolean(const mxo_value *value, const char *path, int32_t fallback);

size_t mxo_value_count(const mxo_value *value, const char *path);

const char *mxo_value_key(const mxo_value *value, const char *path, size_t index);

const char *mxo_value_json(const mxo_value *value);

void mxo_value_free(mxo_value *value);

mxo_status mxo_error_status(const mxo_error *error);

const char *mxo_error_message(const mxo_error *error);

const char *mxo_error_remedy(const mxo_error *error);

int32_t mxo_error_is_transient(const mxo_error *error);

int64_t mxo_error_retry_after_s(const mxo_error *error);

int32_t mxo_error_sign_in_required(const mxo_error *error);

int64_t mxo_error_aadsts(const mxo_error *error);

int32_t mxo_error_smtp_code(const mxo_error *error);

const char *mxo_error_enhanced_code(const mxo_error *error);

const char *mxo_error_service_error(const mxo_error *error);

const char *mxo_error_service_text(const mxo_error *error);

const char *mxo_error_trace_id(const mxo_error *error);

const char *mxo_error_correlation_id(const mxo_error *error);

const char *mxo_error_json(const mxo_error *error);

void mxo_error_free(mxo_error *error);
