<?php
// The gateway, once for each way of signing and encrypting: AUTH is its auth host.
$auth = getenv('AUTH').'/.vestibule/saml';
$certificate = preg_replace('/^#.*$|-----.*?-----|\s/m', '', file_get_contents(getenv('CERTS').'/saml-sp.pem'));
$persistent = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent';
$base = [
    'AssertionConsumerService' => [['Binding' => 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST', 'Location' => "$auth/acs", 'index' => 0]],
    'SingleLogoutService' => [['Binding' => 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect', 'Location' => "$auth/logout"]],
    'NameIDFormat' => $persistent,
    'certData' => $certificate,
    'authproc' => [10 => ['class' => 'saml:AttributeNameID', 'attribute' => 'uid', 'identifyingAttribute' => 'uid', 'Format' => $persistent]],
];
$metadata['urn:test:both'] = $base;
$metadata['urn:test:assertion'] = ['saml20.sign.response' => false] + $base;
$metadata['urn:test:response'] = ['saml20.sign.assertion' => false] + $base;
$metadata['urn:test:encrypted'] = ['assertion.encryption' => true] + $base;
$metadata['urn:test:encrypted-alone'] = ['assertion.encryption' => true, 'saml20.sign.response' => false] + $base;
$metadata['urn:test:signs'] = ['validate.authnrequest' => true, 'validate.logout' => true, 'redirect.validate' => true] + $base;
$metadata['urn:test:unsigned'] = ['saml20.sign.response' => false, 'saml20.sign.assertion' => false] + $base;
