<?php

// One call of a PHP host, and then the process is over, as behind a web server:
//   php -d ffi.enable=1 one.php VERB OPTIONS [SYSTEM [ARGUMENT...]]
// It prints one line as worker.c does: the name of the status, a tab, and what there is to tell.

declare(strict_types=1);

const LIBRARY = 'libmyq_exchange_online.so';
const MXO_TO = 0;

$mxo = FFI::cdef(file_get_contents(__DIR__ . '/../../bindings/php/src/Native/myq_exchange_online.h'), LIBRARY);
$error = $mxo->new('mxo_error *');

/** Calls a function whose last parameter is the error; a failure is told and ends this process. */
function call(string $function, mixed ...$arguments): string
{
    global $mxo, $error;
    $status = $mxo->$function(...[...$arguments, FFI::addr($error)]);
    $name = $mxo->mxo_status_name($status);
    if ($status < 0) {
        say($name, $mxo->mxo_error_json($error));
        exit(0);
    }
    return $name;
}

function say(string $status, string $told = ''): void
{
    echo $status, "\t", $told, "\n";
}

[, $verb, $options] = $argv;
$arguments = array_slice($argv, 3);
$system = $arguments[0] ?? null;

$connector = $mxo->new('mxo_connector *');
call('mxo_connector_open', $options, FFI::addr($connector));
switch ($verb) {
    case 'add':
        $id = $mxo->new('char *');
        $status = call('mxo_system_add', $connector, 'Exchange', ...[...$arguments, FFI::addr($id)]);
        say($status, FFI::string($id));
        $mxo->mxo_string_free($id);
        break;
    case 'start':
        $operation = $mxo->new('mxo_operation *');
        say(call('mxo_sign_in_start', $connector, $system, null, null, null, null, FFI::addr($operation)));
        $mxo->mxo_operation_free($operation);
        break;
    case 'code':
        $code = $mxo->new('mxo_device_code *');
        $status = call('mxo_sign_in_code', $connector, $system, null, (int) $arguments[1], FFI::addr($code));
        // MXO_TIMEOUT: there is none yet.
        say($status, $status === 'MXO_OK' ? $mxo->mxo_device_code_user_code($code) : '');
        $mxo->mxo_device_code_free($code);
        break;
    case 'state':
        $state = $mxo->new('mxo_value *');
        $status = call('mxo_sign_in_state', $connector, $system, null, (int) $arguments[1], FFI::addr($state));
        say($status, $mxo->mxo_value_json($state));
        $mxo->mxo_value_free($state);
        break;
    case 'cancel':
        say(call('mxo_sign_in_cancel', $connector, $system, null));
        break;
    case 'token':
        $token = $mxo->new('char *');
        $status = call('mxo_access_token', $connector, $system, 0, 60000, FFI::addr($token), null);
        say($status, FFI::string($token));
        $mxo->mxo_string_free($token);
        break;
    case 'send':
        $mail = $mxo->new('mxo_mail *');
        call('mxo_mail_new', FFI::addr($mail));
        call('mxo_mail_add_recipient', $mail, MXO_TO, $arguments[1], null);
        call('mxo_mail_set_subject', $mail, 'From one process');
        say(call('mxo_send', $connector, $system, $mail, 60000, null));
        $mxo->mxo_mail_free($mail);
        break;
    default:
        say('MXO_E_ARGUMENT', "\"no verb $verb\"");
}
$mxo->mxo_connector_close($connector);
