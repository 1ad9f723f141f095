// RUN: imcc opt %s --passes "canonicalize"
// RUN: imcc opt %s --passes "fold,canonicalize"

builtin.module {
  %x = imc.input "x" : tensor<2x8xf32>
  %root = imc.weight "root" : tensor<f32>
  %one = imc.weight "one" : tensor<f32>
  %half = imc.weight "half" : tensor<f32>
  %0 = imc.digital "Div"(%x, %root) {} : (tensor<2x8xf32>, tensor<f32>) -> tensor<2x8xf32>
  %1 = imc.digital "Erf"(%0) {} : (tensor<2x8xf32>) -> tensor<2x8xf32>
  %2 = imc.digital "Add"(%1, %one) {} : (tensor<2x8xf32>, tensor<f32>) -> tensor<2x8xf32>
  %3 = imc.digital "Mul"(%x, %2) {} : (tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<2x8xf32>
  %4 = imc.digital "Mul"(%3, %half) {} {source = #imc.source<node = "gelu", op_type = "Mul">} : (tensor<2x8xf32>, tensor<f32>) -> tensor<2x8xf32>
  imc.output "y" %4 : tensor<2x8xf32>
}

// VALUES: root = 1.4142135
// VALUES: one = 1
// VALUES: half = 0.5
// CHECK:      builtin.module {
// CHECK-NEXT:   [[X:%.*]] = imc.input "x"
// CHECK-NEXT:   [[Y:%.*]] = imc.digital "Gelu"([[X]]) {approximate = "none"} {source = #imc.source<node = "gelu", op_type = "Mul">}
// CHECK-NEXT:   imc.output "y" [[Y]]
