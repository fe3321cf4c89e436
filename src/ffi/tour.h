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
